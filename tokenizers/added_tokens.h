// tokenizers/added_tokens.h: tokens that are found in the text before the model sees it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace linea {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool single_word = false;  // only between characters that are not word characters
  bool lstrip = false;       // takes the blanks before it
  bool rstrip = false;       // takes the blanks after it
  bool normalized = true;    // looked for in the normalized text, else in the text as it came
  bool special = false;      // left out by decode
};

// Finds a set of strings: the leftmost match, and the longest of those that start there.
class AddedTokenMatcher {
 public:
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  struct Piece {
    size_t begin, end;
    int32_t id;  // -1: text between tokens
  };
  // Cuts valid UTF-8 into tokens and the text between them, in order, without empty pieces.
  std::vector<Piece> split(std::string_view text) const;

 private:
  struct Node {
    std::vector<std::pair<unsigned char, uint32_t>> children;
    int32_t token = -1;
  };

  uint32_t child_of(uint32_t node, unsigned char byte) const;  // 0 when absent: the root is no child
  int32_t longest_match(std::string_view text, size_t begin) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_{1};
  std::array<bool, 256> starts_{};
};

}  // namespace linea
