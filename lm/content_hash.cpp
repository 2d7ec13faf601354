#include "lm/content_hash.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace linea {
namespace {

// Eight bytes at a time, each mixed as in splitmix64.
class Hash {
 public:
  void add(uint64_t value) {
    state_ += value + 0x9e3779b97f4a7c15u;
    state_ = (state_ ^ state_ >> 30) * 0xbf58476d1ce4e5b9u;
    state_ = (state_ ^ state_ >> 27) * 0x94d049bb133111ebu;
    state_ ^= state_ >> 31;
  }
  void add(const char* bytes, int64_t count) {
    add(static_cast<uint64_t>(count));
    for (int64_t i = 0; i < count; i += 8) {
      uint64_t word = 0;
      std::memcpy(&word, bytes + i, static_cast<size_t>(std::min<int64_t>(8, count - i)));
      add(word);
    }
  }
  uint64_t value() const { return state_; }

 private:
  uint64_t state_ = 0;
};

}  // namespace

std::string content_hash(const Checkpoint& checkpoint) {
  constexpr int64_t kStretches = 16, kStretch = 256;
  Hash hash;
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    hash.add(name.data(), static_cast<int64_t>(name.size()));
    hash.add(static_cast<uint64_t>(tensor.dtype()));
    for (int i = 0; i < tensor.rank(); ++i) hash.add(static_cast<uint64_t>(tensor.dim(i)));
    const int64_t bytes = tensor.bytes(), step = std::max(bytes / kStretches, kStretch);
    const char* content = static_cast<const char*>(tensor.raw());
    for (int64_t begin = 0; begin < bytes; begin += step) hash.add(content + begin, std::min(kStretch, bytes - begin));
  }
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash.value()));
  return digits;
}

}  // namespace linea
