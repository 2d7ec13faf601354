// app/studio/token_counter.h: how many of a model's prompt positions a prompt fills. Used on the files' lane only.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "textenc/prompt.h"
#include "tokenizers/tokenizer.h"

namespace linea::studio {

class TokenCounter {
 public:
  // Reads `model`/tokenizer. Throws kModel.
  TokenCounter(std::string name, const std::filesystem::path& model)
      : name_(std::move(name)), tokenizer_(load_tokenizer(model / "tokenizer")) {}

  const std::string& name() const { return name_; }
  struct Count {
    int used = 0, cut = 0;  // tokens that fit, and those that do not
  };
  Count count(const std::string& prompt) const {
    const PromptTokens tokens = prepare_prompt(*tokenizer_, "", prompt);
    Count count;
    for (const uint8_t real : tokens.mask) count.used += real;
    count.cut = static_cast<int>(tokens.cut);
    return count;
  }

 private:
  std::string name_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

}  // namespace linea::studio
