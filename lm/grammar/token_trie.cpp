#include "lm/grammar/token_trie.h"

#include <algorithm>
#include <string_view>

namespace linea {

TokenTrie::TokenTrie(const Vocabulary& vocabulary) {
  constexpr size_t kLongest = 60'000;  // bytes of a token: depths are 16 bits wide
  std::vector<int32_t> sorted;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (const size_t bytes = vocabulary.bytes(id).size(); bytes > 0 && bytes <= kLongest) sorted.push_back(id);
  }
  std::sort(sorted.begin(), sorted.end(), [&](int32_t a, int32_t b) {
    const std::string_view x = vocabulary.bytes(a), y = vocabulary.bytes(b);
    return x != y ? x < y : a < b;
  });
  nodes_.push_back({0, 0, 0, 0});
  std::vector<uint32_t> path = {0};  // the open nodes by depth
  const auto close = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back()) nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
  };
  std::string_view previous;
  for (const int32_t id : sorted) {
    const std::string_view bytes = vocabulary.bytes(id);
    const auto common =
        static_cast<size_t>(std::mismatch(bytes.begin(), bytes.end(), previous.begin(), previous.end()).first - bytes.begin());
    if (bytes.size() > common) close(common + 1);
    for (size_t depth = common; depth < bytes.size(); ++depth) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({0, static_cast<uint32_t>(tokens_.size()), static_cast<uint16_t>(depth + 1), static_cast<uint8_t>(bytes[depth])});
    }
    tokens_.push_back(id);
    previous = bytes;
    depth_ = std::max(depth_, static_cast<uint16_t>(bytes.size()));
  }
  close(0);
  nodes_.push_back({0, static_cast<uint32_t>(tokens_.size()), 0, 0});
}

}  // namespace linea
