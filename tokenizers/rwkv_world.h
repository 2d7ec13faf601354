// tokenizers/rwkv_world.h: the tokenizer of RWKV "World" models: the longest entry that matches, from the left, on raw bytes.
//
// Immutable after loading: any number of threads may use one. No normalisation and no special tokens in text, so any bytes come back as
// they were. Id 0 ends a document and is not in the file. Surprise: tokens of a + b are not those of a followed by those of b; a generated
// text must not be tokenised again.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace linea {

class RwkvWorldTokenizer {
 public:
  static constexpr int32_t kEndOfText = 0;

  // A file of lines "ID LITERAL LENGTH": LITERAL is a Python literal ('…', "…" or b'…'), LENGTH its number of bytes, in UTF-8 for text.
  // Throws kModel naming file and line for anything else, for entries that occur twice, and when one of the 256 single bytes is missing.
  static RwkvWorldTokenizer load(const std::filesystem::path& file);

  std::vector<int32_t> encode(std::string_view text) const;
  std::string decode(std::span<const int32_t> ids) const;  // the bytes; ids outside the vocabulary, and kEndOfText, give none
  std::string_view token(int32_t id) const;                // empty when there is none
  int32_t vocabulary_size() const { return static_cast<int32_t>(tokens_.size()); }  // 1 + the largest id

 private:
  // Children of a node stand beside each other in edges_, in the order of their bytes.
  struct Node {
    uint32_t first_edge = 0, edges = 0;
    int32_t id = -1;
  };
  struct Edge {
    uint8_t byte;
    uint32_t node;
  };
  void build();

  std::vector<std::string> tokens_;  // by id
  std::vector<Node> nodes_;          // 0 = the root
  std::vector<Edge> edges_;
  std::array<uint32_t, 256> roots_{};  // the root's children by byte
};

}  // namespace linea
