// Kept states in memory and on the shelf: what is found is what was kept, whichever of them it lies in.
#include "lm/session/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "tests/support/temporary_folder.h"

namespace linea {
namespace {

const std::vector<Shape> kParts = {{100}, {4, 30, 30}, {3}};  // padded in different ways

// A snapshot whose values say which it is.
Snapshot snapshot_of(int index) {
  Snapshot snapshot{State(3, kParts, kCpuDevice), {static_cast<float>(index)}, index};
  for (int64_t layer = 0; layer < 3; ++layer) {
    for (const Tensor& part : snapshot.state.layer(layer)) {
      for (int64_t i = 0; i < part.elements(); ++i) part.data<float>()[i] = static_cast<float>(index * 100000 + layer * 10000 + i);
    }
  }
  return snapshot;
}

std::string text_of(int index) { return std::string(static_cast<size_t>(index + 1), 'x'); }

class Shelves : public testing::Test {
 protected:
  void insert(PrefixCache& cache, int index) { cache.insert(key_of(text_of(index)), std::make_shared<const Snapshot>(snapshot_of(index))); }
  void expect_found(PrefixCache& cache, int index) {
    const PrefixCache::Found found = cache.longest_prefix(text_of(index));
    ASSERT_TRUE(found.snapshot) << index;
    EXPECT_EQ(found.key, key_of(text_of(index)));
    EXPECT_EQ(found.snapshot->tokens, index);
    EXPECT_EQ(found.snapshot->logits, snapshot_of(index).logits);
    EXPECT_TRUE(found.snapshot->state == snapshot_of(index).state) << index;
  }
  static void wait_for_shelved(const PrefixCache& cache, size_t count) {
    for (int i = 0; i < 1000 && cache.shelved() != count; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(cache.shelved(), count);
  }

  const int64_t one_ = snapshot_of(0).bytes();
  test::TemporaryFolder folder_;
};

TEST_F(Shelves, GiveBackWhatWasPut) {
  StateShelf shelf(folder_.path(), 1 << 20);
  const Snapshot original = snapshot_of(7);
  const std::shared_ptr<const Snapshot> shelved = shelf.put(original).snapshot;
  ASSERT_TRUE(shelved);
  EXPECT_TRUE(shelved->state == original.state);
  EXPECT_EQ(shelved->bytes(), original.bytes());
  State state = shelved->state;
  state.own();
  state.part(0, 0).data<float>()[0] = -1;
  EXPECT_FALSE(state == original.state);
  EXPECT_TRUE(shelved->state == original.state);
  const std::shared_ptr<const Snapshot> again = shelf.put(*shelved).snapshot;
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->state == original.state);
  EXPECT_EQ(folder_.entries(), 0);  // the file has no name
}

TEST_F(Shelves, UsePlacesAgain) {
  StateShelf shelf(folder_.path(), 3 * (one_ + 8192));
  std::vector<std::shared_ptr<const Snapshot>> kept;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(kept.emplace_back(shelf.put(snapshot_of(i)).snapshot));
  EXPECT_TRUE(shelf.put(snapshot_of(3)).is_full);
  kept.erase(kept.begin() + 1);
  ASSERT_TRUE(kept.emplace_back(shelf.put(snapshot_of(4)).snapshot));
  EXPECT_TRUE(kept[0]->state == snapshot_of(0).state);
  EXPECT_TRUE(kept[1]->state == snapshot_of(2).state);
  EXPECT_TRUE(kept[2]->state == snapshot_of(4).state);
}

TEST_F(Shelves, HoldWhatMemoryDoesNot) {
  PrefixCache cache(2 * one_ + one_ / 2, std::make_unique<StateShelf>(folder_.path(), 1 << 20));
  for (int i = 0; i < 10; ++i) {
    insert(cache, i);
    wait_for_shelved(cache, static_cast<size_t>(std::max(0, i - 1)));
  }
  EXPECT_EQ(cache.size(), 10u);
  EXPECT_EQ(cache.bytes(), 2 * one_);
  for (int i = 9; i >= 0; --i) expect_found(cache, i);
  EXPECT_EQ(cache.shelved(), 8u);
  EXPECT_FALSE(cache.find(key_of("unknown")));
}

TEST_F(Shelves, LoseTheOldestWhenTheyAreFull) {
  PrefixCache cache(one_, std::make_unique<StateShelf>(folder_.path(), 3 * (one_ + 8192)));
  for (int i = 0; i < 8; ++i) {
    insert(cache, i);
    wait_for_shelved(cache, static_cast<size_t>(std::min(i, 3)));
  }
  for (int i = 0; i < 200 && cache.size() != 4; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(cache.size(), 4u);
  for (int i = 4; i < 8; ++i) expect_found(cache, i);
  EXPECT_FALSE(cache.longest_prefix(text_of(3)).snapshot);
}

TEST_F(Shelves, MayBeMissing) {
  PrefixCache cache(one_, std::make_unique<StateShelf>(folder_ / "nowhere", 1 << 20));
  for (int i = 0; i < 4; ++i) insert(cache, i);
  for (int i = 0; i < 1000 && cache.size() != 1; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(cache.size(), 1u);
  expect_found(cache, 3);
}

// Found, forgotten and shelved at the same time; and the cache ends while states still leave.
TEST_F(Shelves, TakeTheirTimeBesideTheConversation) {
  PrefixCache cache(3 * one_, std::make_unique<StateShelf>(folder_.path(), 5 * (one_ + 8192)));
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 12; ++i) {
      insert(cache, i);
      const PrefixCache::Found found = cache.longest_prefix(text_of((i * 5 + round) % 12));
      if (found.snapshot) EXPECT_TRUE(found.snapshot->state == snapshot_of(static_cast<int>(found.snapshot->tokens)).state);
    }
  }
  EXPECT_LE(cache.bytes(), 3 * one_);
}

}  // namespace
}  // namespace linea
