// tokenizers/rwkv_world.h: the tokenizer of RWKV "World" models: the longest entry that matches, from the left, on raw bytes.
//
// No normalisation and no special tokens in text, so any bytes come back as they were. Id 0 ends a document and is not in the file.
// Surprise: tokens of a + b are not those of a followed by those of b; a generated text must not be tokenised again.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/tokenizer.h"

namespace linea {

class RwkvWorldTokenizer final : public Tokenizer {
 public:
  static constexpr int32_t kEndOfText = 0;

  // A file of lines "ID LITERAL LENGTH": LITERAL is a Python literal ('…', "…" or b'…'), LENGTH its number of bytes, in UTF-8 for text.
  // Throws kModel naming file and line for anything else, for entries that occur twice, and when one of the 256 single bytes is missing.
  static RwkvWorldTokenizer load(const std::filesystem::path& file);

  // The bytes of each id, empty for none; `source` names them in messages. Throws as load() does.
  static RwkvWorldTokenizer from_tokens(std::vector<std::string> tokens, const std::string& source);

  std::vector<int32_t> encode_without_template(std::string_view text) const override;
  std::string decode(std::span<const int32_t> ids, bool skip_special = true) const override;  // kEndOfText gives no bytes
  std::string token_bytes(int32_t id) const override { return std::string(token(id)); }
  int32_t vocabulary_size() const override { return static_cast<int32_t>(tokens_.size()); }
  int32_t id_of(std::string_view bytes) const override;
  std::string_view token(int32_t id) const;  // empty when there is none

 private:
  RwkvWorldTokenizer() { special_.eos = kEndOfText; }
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
