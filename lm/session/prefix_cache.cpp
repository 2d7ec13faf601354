#include "lm/session/prefix_cache.h"

#include <optional>

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

PrefixCache::SnapshotPtr PrefixCache::use(std::list<Entry>::iterator entry) {
  entries_.splice(entries_.begin(), entries_, entry);
  return entry->snapshot;
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
  entries_.push_front({key, std::move(snapshot)});
  by_key_[key] = entries_.begin();
  ++lengths_[key.length];
  while (bytes_ > budget_) {
    const Entry& oldest = entries_.back();
    bytes_ -= oldest.snapshot->bytes();
    by_key_.erase(oldest.key);
    if (const auto length = lengths_.find(oldest.key.length); --length->second == 0) lengths_.erase(length);
    entries_.pop_back();
  }
}

int64_t PrefixCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

size_t PrefixCache::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace linea
