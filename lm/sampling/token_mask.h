// lm/sampling/token_mask.h: a set of token ids, a bit each.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace linea {

class TokenMask {
 public:
  TokenMask() = default;
  explicit TokenMask(int64_t size, bool value = false)
      : size_(size), words_(static_cast<size_t>((size + 63) / 64), value ? ~uint64_t{0} : uint64_t{0}) {
    if (value && size % 64 != 0) words_.back() = (uint64_t{1} << (size % 64)) - 1;
  }

  int64_t size() const { return size_; }
  bool contains(int32_t id) const {
    return id >= 0 && id < size_ && ((words_[static_cast<size_t>(id) / 64] >> (static_cast<size_t>(id) % 64)) & 1) != 0;
  }
  void add(int32_t id) { words_[static_cast<size_t>(id) / 64] |= uint64_t{1} << (static_cast<size_t>(id) % 64); }
  void remove(int32_t id) { words_[static_cast<size_t>(id) / 64] &= ~(uint64_t{1} << (static_cast<size_t>(id) % 64)); }
  void add(const TokenMask& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  bool empty() const {
    for (const uint64_t word : words_) {
      if (word != 0) return false;
    }
    return true;
  }
  int64_t count() const {
    int64_t sum = 0;
    for (const uint64_t word : words_) sum += std::popcount(word);
    return sum;
  }
  bool operator==(const TokenMask&) const = default;

  // Calls visit(id) for every id, in ascending order.
  template <class Visit> void for_each(const Visit& visit) const {
    for (size_t i = 0; i < words_.size(); ++i) {
      for (uint64_t word = words_[i]; word != 0; word &= word - 1) {
        visit(static_cast<int32_t>(i * 64 + static_cast<size_t>(std::countr_zero(word))));
      }
    }
  }

 private:
  int64_t size_ = 0;
  std::vector<uint64_t> words_;
};

}  // namespace linea
