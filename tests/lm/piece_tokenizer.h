// tests/lm/piece_tokenizer.h: a tokenizer of a given list of pieces, for models whose vocabulary means nothing.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "tokenizers/tokenizer.h"

namespace linea::test {

// Id 0 ends a text; id i + 1 is piece i. Encoding takes the longest piece that matches and skips bytes that no piece begins with.
class PieceTokenizer final : public Tokenizer {
 public:
  explicit PieceTokenizer(std::vector<std::string> pieces) : pieces_(std::move(pieces)) { special_.eos = 0; }

  // Every byte, and then the given pieces.
  static PieceTokenizer with_bytes(const std::vector<std::string>& more = {}) {
    std::vector<std::string> pieces;
    for (int byte = 0; byte < 256; ++byte) pieces.emplace_back(1, static_cast<char>(byte));
    pieces.insert(pieces.end(), more.begin(), more.end());
    return PieceTokenizer(pieces);
  }
  // 60 pieces that spell JSON, for the models of tests/data/lm with their 61 rows.
  static PieceTokenizer json() {
    std::vector<std::string> pieces = {"{", "}",  "[",    "]",     "\"",   ":",   ",",   " ", "-",
                                       ".", "\\", "true", "false", "null", "\":", "\",", "e", "+"};
    for (char c = '0'; c <= '9'; ++c) pieces.emplace_back(1, c);
    for (char c = 'a'; c <= 'z'; ++c) {
      if (c != 'e') pieces.emplace_back(1, c);
    }
    for (const char* piece : {"\"}", "}]", "\"]", "é", "ab", "T", "Z"}) pieces.emplace_back(piece);
    return PieceTokenizer(pieces);
  }

  std::vector<int32_t> encode_without_template(std::string_view text) const override {
    std::vector<int32_t> ids;
    for (size_t at = 0; at < text.size();) {
      size_t best = pieces_.size();
      for (size_t i = 0; i < pieces_.size(); ++i) {
        const bool longer = best == pieces_.size() || pieces_[i].size() > pieces_[best].size();
        if (longer && text.substr(at).starts_with(pieces_[i])) best = i;
      }
      if (best == pieces_.size()) {
        ++at;
        continue;
      }
      ids.push_back(static_cast<int32_t>(best + 1));
      at += pieces_[best].size();
    }
    return ids;
  }
  std::string decode(std::span<const int32_t> ids, bool) const override {
    std::string text;
    for (const int32_t id : ids) text += token_bytes(id);
    return text;
  }
  std::string token_bytes(int32_t id) const override {
    return id > 0 && id < vocabulary_size() ? pieces_[static_cast<size_t>(id - 1)] : std::string();
  }
  int32_t vocabulary_size() const override { return static_cast<int32_t>(pieces_.size()) + 1; }
  int32_t id_of(std::string_view piece) const override {
    const auto found = std::find(pieces_.begin(), pieces_.end(), piece);
    return found == pieces_.end() ? -1 : static_cast<int32_t>(found - pieces_.begin()) + 1;
  }

 private:
  std::vector<std::string> pieces_;
};

}  // namespace linea::test
