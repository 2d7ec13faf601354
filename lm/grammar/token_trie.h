// lm/grammar/token_trie.h: a vocabulary's tokens by their bytes, for walking them all in the order of their beginnings.
#pragma once

#include <cstdint>
#include <vector>

#include "lm/session/vocabulary.h"

namespace linea {

// Nodes in depth-first order; node 0 is the empty beginning. What follows a node and begins with it ends before `end`.
class TokenTrie {
 public:
  struct Node {
    uint32_t end;     // first node behind the subtree
    uint32_t tokens;  // the node's tokens are tokens_[tokens .. next node's tokens)
    uint16_t depth;   // bytes from the root
    uint8_t byte;     // the last of them
  };
  explicit TokenTrie(const Vocabulary& vocabulary);

  uint32_t nodes() const { return static_cast<uint32_t>(nodes_.size()) - 1; }
  const Node& node(uint32_t index) const { return nodes_[index]; }
  uint16_t depth() const { return depth_; }  // of the deepest node
  template <class Visit> void for_each_token(uint32_t node, const Visit& visit) const {
    for (uint32_t i = nodes_[node].tokens; i < nodes_[node + 1].tokens; ++i) visit(tokens_[i]);
  }

 private:
  std::vector<Node> nodes_;  // and one behind the last
  std::vector<int32_t> tokens_;
  uint16_t depth_ = 0;
};

}  // namespace linea
