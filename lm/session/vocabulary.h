// lm/session/vocabulary.h: what each token id stands for in text.
//
// Immutable. Ids that stand for no text (padding rows of the model's head, special tokens) are never drawn, except those that end a text.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lm/sampling/token_mask.h"
#include "tokenizers/tokenizer.h"

namespace linea {

class Vocabulary {
 public:
  // `size` rows has the model's head; `ends` are the ids that end a text.
  Vocabulary(const Tokenizer& tokenizer, int64_t size, std::vector<int32_t> ends);

  int64_t size() const { return static_cast<int64_t>(bytes_.size()); }
  std::string_view bytes(int32_t id) const;  // as they stand within a text; empty when the id stands for none
  bool is_end(int32_t id) const;
  const std::vector<int32_t>& ends() const { return ends_; }
  const TokenMask& drawable() const { return drawable_; }  // those with bytes, and the ends
  const Tokenizer& tokenizer() const { return tokenizer_; }

  // Makes the special token `piece` an end, where the tokenizer has it. True if so.
  bool add_end(const std::string& piece);

 private:
  const Tokenizer& tokenizer_;
  std::vector<std::string> bytes_;
  std::vector<int32_t> ends_;
  TokenMask drawable_;
};

}  // namespace linea
