// lm/session/prefix_cache.h: snapshots of one model by the text that it has read, within a budget of bytes.
//
// A recurrent state stands for a whole beginning of a text and nothing else: what is found is the longest beginning that was kept. Keys are
// 128-bit hashes of the text. Thread-safe; the least recently used snapshots go first.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <tuple>

#include "lm/session/snapshot.h"

namespace linea {

struct PrefixKey {
  uint64_t low = 0, high = 0;
  uint64_t length = 0;  // bytes of the text
  bool operator==(const PrefixKey&) const = default;
  bool operator<(const PrefixKey& other) const { return std::tie(length, low, high) < std::tie(other.length, other.low, other.high); }
};
PrefixKey key_of(std::string_view text);

class PrefixCache {
 public:
  explicit PrefixCache(int64_t budget_bytes) : budget_(budget_bytes) {}

  using SnapshotPtr = std::shared_ptr<const Snapshot>;
  struct Found {
    PrefixKey key;
    SnapshotPtr snapshot;  // null when no beginning is known
  };
  Found longest_prefix(std::string_view text);
  SnapshotPtr find(const PrefixKey& key);
  // A snapshot larger than the budget is not kept.
  void insert(const PrefixKey& key, SnapshotPtr snapshot);

  int64_t bytes() const;
  int64_t budget() const { return budget_; }
  size_t size() const;

 private:
  struct Entry {
    PrefixKey key;
    SnapshotPtr snapshot;
  };
  SnapshotPtr use(std::list<Entry>::iterator entry);

  int64_t budget_, bytes_ = 0;
  std::list<Entry> entries_;  // the most recently used first
  std::map<PrefixKey, std::list<Entry>::iterator> by_key_;
  std::map<uint64_t, int64_t> lengths_;  // how many entries have this length
  mutable std::mutex mutex_;
};

}  // namespace linea
