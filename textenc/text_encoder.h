// textenc/text_encoder.h: prompts to the embeddings that SANA's transformer attends to.
#pragma once

#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

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

  // `load_model` gives the weights when they are first needed, and again after release_weights.
  using LoadModel = std::function<Gemma2()>;
  TextEncoder(std::shared_ptr<const Tokenizer> tokenizer, LoadModel load_model, TextEncoderOptions options);
  void load_weights();
  void release_weights() { model_.reset(); }   // embeddings that are kept stay
  void replace_weights(LoadModel load_model);  // by the same ones, kept otherwise, when they are needed next; embeddings stay
  // Negative prompts get no instruction.
  struct Prompt {
    std::string text;
    bool is_negative = false;
  };
  bool knows(const Context& ctx, const Prompt& prompt) const;  // encode needs no weights for it

  // The embeddings have storage of their own (not the arena's) and stay valid. Prompts that are not known go through the weights together.
  std::vector<PromptEmbedding> encode(Context& ctx, std::span<const Prompt> prompts);
  PromptEmbedding encode(Context& ctx, const std::string& prompt, bool is_negative = false);
  // On a planning context: what encode takes from the arena at most, for a prompt and a negative one.
  void plan(Context& ctx);

  void set_instruction(std::string instruction) { options_.instruction = std::move(instruction); }
  const std::string& instruction() const { return options_.instruction; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Gemma2& model() const { return *model_; }  // loaded

 private:
  struct CacheEntry {
    std::string instruction, prompt;
    DType dtype;
    PromptEmbedding embedding;  // rows on the host
    bool is_of(const Context& ctx, const std::string& p, const std::string& i) const {
      return prompt == p && instruction == i && dtype == ctx.dtype;
    }
  };
  std::string instruction_of(const Prompt& prompt) const { return prompt.is_negative ? std::string() : options_.instruction; }
  std::list<CacheEntry>::const_iterator find(const Context& ctx, const Prompt& prompt) const;
  void keep(const Context& ctx, const Prompt& prompt, const PromptEmbedding& embedding);

  std::shared_ptr<const Tokenizer> tokenizer_;
  LoadModel load_model_;
  TextEncoderOptions options_;
  std::optional<Gemma2> model_;
  std::list<CacheEntry> cache_;  // most recently used first
};

}  // namespace linea
