// Independent texts read and continued together: each member goes its own way.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "lm/load.h"
#include "lm/session/batch_runner.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

using test::TestContext;
using Ids = std::vector<int32_t>;

class BatchTest : public testing::TestWithParam<const char*> {
 protected:
  BatchTest() {
    const std::string folder = test::data_path(std::string("lm/") + GetParam());
    model_ = load_language_model(*context_, Checkpoint::open_folder(folder, "model"), folder + "/config.json");
  }

  Ids text(size_t length, uint32_t seed) const {
    std::mt19937 random(seed);
    Ids ids(length);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint32_t>(model_->vocabulary_size()));
    return ids;
  }
  std::vector<Ids> texts(const std::vector<size_t>& lengths, uint32_t seed) const {
    std::vector<Ids> all;
    for (const size_t length : lengths) all.push_back(text(length, ++seed));
    return all;
  }
  std::vector<float> alone(const Ids& ids) {
    Runner runner(*model_, *context_);
    Snapshot snapshot = runner.start();
    runner.read(ids, snapshot);
    return snapshot.logits;
  }
  static double difference(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0, norm = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      sum += (a[i] - b[i]) * (a[i] - b[i]);
      norm += b[i] * b[i];
    }
    return std::sqrt(sum / norm);
  }

  TestContext context_;
  std::unique_ptr<LanguageModel> model_;
};

TEST_P(BatchTest, MembersGiveWhatTheyGiveAlone) {
  for (const std::vector<size_t>& lengths : {std::vector<size_t>{9, 9, 9}, {1, 40, 7, 23}, {3, 0, 70}, {5}}) {
    BatchRunner batch(*model_, *context_, static_cast<int64_t>(lengths.size()), {.longest_piece = 32});
    std::vector<Ids> all = texts(lengths, 1);
    batch.read(all);
    for (int step = 0; step < 3; ++step) {
      Ids next;
      for (Ids& ids : all)
        ids.push_back(next.emplace_back(text(1, static_cast<uint32_t>(100 * step) + static_cast<uint32_t>(next.size()))[0]));
      batch.step(next);
    }
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_LE(difference(batch.logits(static_cast<int64_t>(i)), alone(all[i])), 1e-5) << i << " of " << all.size();
      EXPECT_EQ(batch.tokens(static_cast<int64_t>(i)), static_cast<int64_t>(all[i].size()));
    }
  }
}

// Whatever the others say, a member's bits are the same.
TEST_P(BatchTest, MembersDoNotInfluenceEachOther) {
  const std::vector<size_t> lengths = {6, 11, 17};
  std::vector<Ids> some = texts(lengths, 5), others = texts(lengths, 50);
  others[1] = some[1];
  BatchRunner first(*model_, *context_, 3), second(*model_, *context_, 3);
  first.read(some);
  second.read(others);
  EXPECT_EQ(first.logits(1), second.logits(1));
  EXPECT_NE(first.logits(0), second.logits(0));
  first.step(Ids{1, 2, 3});
  second.step(Ids{7, 2, 9});
  EXPECT_EQ(first.logits(1), second.logits(1));
  EXPECT_TRUE(first.snapshot(1).state == second.snapshot(1).state);
  EXPECT_FALSE(first.snapshot(2).state == second.snapshot(2).state);
}

TEST_P(BatchTest, TextsJoinAndLeave) {
  const std::vector<Ids> all = texts({8, 8}, 9);
  Runner runner(*model_, *context_);
  Snapshot other = runner.start();
  runner.read(all[1], other);
  BatchRunner batch(*model_, *context_, 2);
  batch.read(std::vector<Ids>{all[0], {}});
  batch.set(1, other);
  EXPECT_EQ(batch.logits(1), other.logits);
  batch.step(Ids{4, 5});
  runner.step(5, other);
  EXPECT_LE(difference(batch.logits(1), other.logits), 1e-5);
  Snapshot left = batch.snapshot(0);
  Ids whole = all[0];
  whole.push_back(4);
  EXPECT_LE(difference(left.logits, alone(whole)), 1e-5);
  runner.step(6, left);
  whole.push_back(6);
  EXPECT_LE(difference(left.logits, alone(whole)), 1e-5);
  EXPECT_EQ(batch.tokens(0), 9);  // the batch's own member did not move
}

INSTANTIATE_TEST_SUITE_P(Models, BatchTest, testing::Values("rwkv4", "rwkv5.0", "rwkv6", "rwkv7", "mamba1", "mamba2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace linea
