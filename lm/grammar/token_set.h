// lm/grammar/token_set.h: tokens that are collected one after another, in as little memory as their number asks for.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "lm/sampling/token_mask.h"

namespace linea {

// A list of ids while that is shorter than a mask of the vocabulary, then a mask.
class TokenSet {
 public:
  explicit TokenSet(int64_t vocabulary) : vocabulary_(vocabulary) {}

  // Each id once.
  void add(int32_t id) {
    if (mask_) return mask_->add(id);
    ids_.push_back(id);
    if (static_cast<int64_t>(ids_.size()) * 32 < vocabulary_) return;
    TokenMask mask(vocabulary_);
    add_to(mask);
    mask_ = std::move(mask);
    std::vector<int32_t>().swap(ids_);
  }
  void add_to(TokenMask& tokens) const {
    if (mask_) tokens.add(*mask_);
    for (const int32_t id : ids_) tokens.add(id);
  }
  size_t bytes() const { return sizeof(*this) + ids_.capacity() * sizeof(int32_t) + (mask_ ? static_cast<size_t>(mask_->size()) / 8 : 0); }

 private:
  int64_t vocabulary_;
  std::vector<int32_t> ids_;  // while there is no mask
  std::optional<TokenMask> mask_;
};

}  // namespace linea
