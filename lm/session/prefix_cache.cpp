#include "lm/session/prefix_cache.h"

#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

namespace linea {
namespace {

// FNV-1a twice, with different starts.
class TextHash {
 public:
  void add(std::string_view text) {
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      low_ = (low_ ^ byte) * 0x100000001b3u;
      high_ = (high_ ^ byte) * 0x9e3779b97f4a7c15u;
      high_ ^= high_ >> 29;
    }
    length_ += text.size();
  }
  PrefixKey key() const { return {low_, high_, length_}; }

 private:
  uint64_t low_ = 0xcbf29ce484222325u, high_ = 0x2545f4914f6cdd1du, length_ = 0;
};

}  // namespace

PrefixKey key_of(std::string_view text) {
  TextHash hash;
  hash.add(text);
  return hash.key();
}

PrefixCache::~PrefixCache() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  leaving_.notify_all();
  if (shelver_.joinable()) shelver_.join();
}

PrefixCache::SnapshotPtr PrefixCache::use(Entries::iterator entry) {
  const SnapshotPtr snapshot = entry->snapshot;
  move(entry, entry->tier == kLeaving ? kMemory : entry->tier);
  trim();
  return snapshot;
}

void PrefixCache::move(Entries::iterator entry, Tier tier) {
  if (entry->tier == kMemory) bytes_ -= entry->snapshot->bytes();
  if (tier == kMemory) bytes_ += entry->snapshot->bytes();
  tiers_[tier].splice(tiers_[tier].begin(), tiers_[entry->tier], entry);
  entry->tier = tier;
}

void PrefixCache::forget(Entries::iterator entry) {
  if (entry->tier == kMemory) bytes_ -= entry->snapshot->bytes();
  by_key_.erase(entry->key);
  if (const auto length = lengths_.find(entry->key.length); --length->second == 0) lengths_.erase(length);
  tiers_[entry->tier].erase(entry);
}

// Logits stay in memory: a shelf pays where a state is much larger than they are.
bool PrefixCache::shelves(const Snapshot& snapshot) {
  constexpr int64_t kTimesTheLogits = 32;
  if (!shelf_ || snapshot.bytes() < kTimesTheLogits * (snapshot.bytes() - snapshot.state.bytes())) return false;
  try {
    if (!shelver_.joinable()) shelver_ = std::thread([this] { shelve_what_leaves(); });
  } catch (const std::system_error&) {
    return false;
  }
  return true;
}

// Where the disk is slower than the conversation, the oldest are lost rather than memory.
void PrefixCache::trim() {
  constexpr size_t kMostLeaving = 8;
  while (bytes_ > budget_) {
    const auto oldest = std::prev(tiers_[kMemory].end());
    if (tiers_[kLeaving].size() < kMostLeaving && shelves(*oldest->snapshot)) {
      move(oldest, kLeaving);
      leaving_.notify_one();
    } else {
      forget(oldest);
    }
  }
}

void PrefixCache::shelve_what_leaves() {
  std::unique_lock lock(mutex_);
  while (true) {
    leaving_.wait(lock, [&] { return ends_ || !tiers_[kLeaving].empty(); });
    if (ends_) return;
    const PrefixKey key = tiers_[kLeaving].back().key;
    SnapshotPtr snapshot = tiers_[kLeaving].back().snapshot;
    lock.unlock();
    SnapshotPtr shelved = shelved_copy(*snapshot);
    lock.lock();
    put_aside(key, std::move(shelved));
    lock.unlock();
    snapshot.reset();  // giving back the memory of a large state takes long: not under the lock
    lock.lock();
  }
}

// The entry is on the shelf now, or lost where that failed.
void PrefixCache::put_aside(const PrefixKey& key, SnapshotPtr shelved) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end() || found->second->tier != kLeaving) return;  // it was used again, and is in memory
  if (!shelved) return forget(found->second);
  move(found->second, kShelf);
  found->second->snapshot = std::move(shelved);
}

// Room on the shelf comes from those that lie there unused for longest.
PrefixCache::SnapshotPtr PrefixCache::shelved_copy(const Snapshot& snapshot) {
  while (true) {
    StateShelf::Shelved shelved = shelf_->put(snapshot);
    if (!shelved.is_full) return std::move(shelved.snapshot);
    const std::lock_guard lock(mutex_);
    if (tiers_[kShelf].empty()) return nullptr;
    forget(std::prev(tiers_[kShelf].end()));
  }
}

PrefixCache::Found PrefixCache::longest_prefix(std::string_view text) {
  const std::lock_guard lock(mutex_);
  TextHash hash;
  std::optional<PrefixKey> best;
  uint64_t at = 0;
  for (const auto& [length, count] : lengths_) {
    if (length > text.size()) break;
    hash.add(text.substr(at, length - at));
    at = length;
    if (by_key_.contains(hash.key())) best = hash.key();
  }
  if (!best) return {};
  return {*best, use(by_key_.at(*best))};
}

PrefixCache::SnapshotPtr PrefixCache::find(const PrefixKey& key) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : use(found->second);
}

void PrefixCache::insert(const PrefixKey& key, SnapshotPtr snapshot) {
  const std::lock_guard lock(mutex_);
  if (by_key_.contains(key) || snapshot->bytes() > budget_) return;
  bytes_ += snapshot->bytes();
  tiers_[kMemory].push_front({key, std::move(snapshot), kMemory});
  by_key_[key] = tiers_[kMemory].begin();
  ++lengths_[key.length];
  trim();
}

int64_t PrefixCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

size_t PrefixCache::size() const {
  const std::lock_guard lock(mutex_);
  return by_key_.size();
}

size_t PrefixCache::shelved() const {
  const std::lock_guard lock(mutex_);
  return tiers_[kShelf].size();
}

}  // namespace linea
