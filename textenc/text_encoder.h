// textenc/text_encoder.h: prompts to the embeddings that SANA's transformer attends to.
#pragma once

#include <filesystem>
#include <list>
#include <memory>
#include <string>

#include "textenc/gemma2.h"
#include "textenc/prompt.h"

namespace linea {

struct PromptEmbedding {
  // [r, hidden] on the device, 1 <= r <= 300: the real rows, which are positions 0 … r-1 of the 300. Padded rows are masked in the
  // transformer's attention, so they are neither computed nor kept.
  Tensor embeddings;
  std::vector<int32_t> ids;   // [300] with padding, as the reference pipeline has them
  std::vector<uint8_t> mask;  // [300] 1 = real
  size_t cut = 0;             // tokens of the prompt that did not fit: worth a warning when not 0
};

struct TextEncoderOptions {
  std::string instruction{};   // before every prompt that is not negative; empty = none
  bool softcap = true;         // false reproduces reference runs with SDPA attention
  size_t cached_prompts = 64;  // embeddings kept for prompts seen before, most recent first; 0 = none
};

// One thread at a time.
class TextEncoder {
 public:
  // Reads `model`/tokenizer and `model`/text_encoder; weights go to the context's device in its type. Throws kModel.
  static TextEncoder load(Context& ctx, const std::filesystem::path& model, TextEncoderOptions options = {});

  // The embeddings have storage of their own (not the arena's) and stay valid. Negative prompts get no instruction.
  PromptEmbedding encode(Context& ctx, const std::string& prompt, bool is_negative = false);
  // On a planning context: what encode takes from the arena at most.
  void plan(Context& ctx) const;

  void set_instruction(std::string instruction) { options_.instruction = std::move(instruction); }
  const std::string& instruction() const { return options_.instruction; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Gemma2& model() const { return model_; }

 private:
  TextEncoder() = default;

  struct CacheEntry {
    std::string instruction, prompt;
    DType dtype;
    PromptEmbedding embedding;
  };

  std::unique_ptr<Tokenizer> tokenizer_;
  Gemma2 model_;
  TextEncoderOptions options_;
  std::list<CacheEntry> cache_;  // most recently used first
};

}  // namespace linea
