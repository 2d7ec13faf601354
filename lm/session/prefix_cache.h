// lm/session/prefix_cache.h: snapshots of one model by the text that it has read, within a budget of bytes.
//
// A recurrent state stands for a whole beginning of a text and nothing else: what is found is the longest beginning that was kept. Keys are
// 128-bit hashes of the text. Thread-safe; the least recently used snapshots go first: to the shelf where there is one, which a thread of
// the cache's own sees to, and from there when that is full.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <tuple>

#include "lm/session/snapshot.h"
#include "lm/session/state_shelf.h"

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
  explicit PrefixCache(int64_t budget_bytes, std::unique_ptr<StateShelf> shelf = nullptr)
      : budget_(budget_bytes), shelf_(std::move(shelf)) {}
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;
  ~PrefixCache();

  using SnapshotPtr = std::shared_ptr<const Snapshot>;
  struct Found {
    PrefixKey key;
    SnapshotPtr snapshot;  // null when no beginning is known
  };
  Found longest_prefix(std::string_view text);
  SnapshotPtr find(const PrefixKey& key);
  // A snapshot larger than the budget is not kept.
  void insert(const PrefixKey& key, SnapshotPtr snapshot);

  int64_t bytes() const;  // in memory
  int64_t budget() const { return budget_; }
  size_t size() const;     // all
  size_t shelved() const;  // of these on the shelf

 private:
  enum Tier { kMemory, kLeaving, kShelf, kTiers };
  struct Entry {
    PrefixKey key;
    SnapshotPtr snapshot;
    Tier tier;
  };
  using Entries = std::list<Entry>;

  // All under the lock.
  SnapshotPtr use(Entries::iterator entry);
  void move(Entries::iterator entry, Tier tier);
  void forget(Entries::iterator entry);
  void trim();
  bool shelves(const Snapshot& snapshot);
  void put_aside(const PrefixKey& key, SnapshotPtr shelved);

  void shelve_what_leaves();
  SnapshotPtr shelved_copy(const Snapshot& snapshot);

  const int64_t budget_;
  int64_t bytes_ = 0;                  // of those in memory that nothing puts on the shelf
  std::array<Entries, kTiers> tiers_;  // the most recently used first
  std::map<PrefixKey, Entries::iterator> by_key_;
  std::map<uint64_t, int64_t> lengths_;  // how many entries have this length
  mutable std::mutex mutex_;

  std::unique_ptr<StateShelf> shelf_;
  std::thread shelver_;  // started with the first snapshot that leaves
  std::condition_variable leaving_;
  bool ends_ = false;
};

}  // namespace linea
