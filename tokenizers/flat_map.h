// tokenizers/flat_map.h: two open-addressing tables that are filled once and then only read.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

namespace linea {

// Text → id. The texts must outlive the table.
class PieceMap {
 public:
  explicit PieceMap(size_t expected = 0) { reserve(expected); }

  void reserve(size_t expected) {
    entries_.reserve(expected);
    if (const size_t capacity = std::bit_ceil(expected * 2 + 2); capacity > slots_.size()) rebuild(capacity);
  }

  void set(std::string_view text, int32_t id) {
    if (entries_.size() * 2 >= slots_.size()) rebuild(slots_.size() * 2);
    const uint32_t hash = hash_of(text);
    Slot& slot = slots_[position_of(text, hash)];
    if (slot.entry != kEmpty) {
      entries_[slot.entry].id = id;
      return;
    }
    slot = {hash, static_cast<uint32_t>(entries_.size())};
    entries_.push_back({text, id});
  }

  int32_t find(std::string_view text) const {  // -1 when absent
    const Slot& slot = slots_[position_of(text, hash_of(text))];
    return slot.entry == kEmpty ? -1 : entries_[slot.entry].id;
  }

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string_view text;
    int32_t id;
  };
  struct Slot {
    uint32_t hash = 0, entry = kEmpty;
  };
  static constexpr uint32_t kEmpty = UINT32_MAX;

  static uint32_t hash_of(std::string_view text) { return static_cast<uint32_t>(std::hash<std::string_view>{}(text)); }

  size_t position_of(std::string_view text, uint32_t hash) const {
    const size_t mask = slots_.size() - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask)
      if (slots_[i].entry == kEmpty || (slots_[i].hash == hash && entries_[slots_[i].entry].text == text)) return i;
  }

  void rebuild(size_t capacity) {
    const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(capacity));
    for (const Slot& slot : old) {
      if (slot.entry == kEmpty) continue;
      size_t i = slot.hash & (capacity - 1);
      while (slots_[i].entry != kEmpty) i = (i + 1) & (capacity - 1);
      slots_[i] = slot;
    }
  }

  std::vector<Entry> entries_;
  std::vector<Slot> slots_;
};

// (left id, right id) → how they merge.
class MergeMap {
 public:
  struct Merge {
    int32_t rank = -1, id = -1;  // rank < 0: the pair does not merge
  };

  void set(int32_t left, int32_t right, Merge merge) {
    if (used_ * 3 >= slots_.size() * 2) rebuild(std::max<size_t>(slots_.size() * 2, 16));
    Slot& slot = slots_[position_of(key_of(left, right))];
    if (slot.merge.rank < 0) ++used_;
    slot = {key_of(left, right), merge};
  }

  void reserve(size_t expected) {
    if (const size_t capacity = std::bit_ceil(expected * 3 / 2 + 16); capacity > slots_.size()) rebuild(capacity);
  }

  Merge find(int32_t left, int32_t right) const { return slots_.empty() ? Merge{} : slots_[position_of(key_of(left, right))].merge; }

 private:
  struct Slot {
    uint64_t key = 0;
    Merge merge;
  };

  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }

  size_t position_of(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    for (size_t i = (key * 0x9e3779b97f4a7c15u) >> 32 & mask;; i = (i + 1) & mask)
      if (slots_[i].merge.rank < 0 || slots_[i].key == key) return i;
  }

  void rebuild(size_t capacity) {
    const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(capacity));
    for (const Slot& slot : old)
      if (slot.merge.rank >= 0) slots_[position_of(slot.key)] = slot;
  }

  std::vector<Slot> slots_;
  size_t used_ = 0;
};

}  // namespace linea
