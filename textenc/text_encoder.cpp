#include "textenc/text_encoder.h"

#include <algorithm>

#include "kernels/backend.h"

namespace linea {

TextEncoder TextEncoder::load(Context& ctx, const std::filesystem::path& model, TextEncoderOptions options) {
  const std::filesystem::path folder = model / "text_encoder";
  Context loading = ctx;
  TextEncoder encoder(
      load_tokenizer(model / "tokenizer"),
      [loading, folder]() mutable {
        return Gemma2::load(loading, Checkpoint::open_folder(folder, "model"), Gemma2Config::read(folder / "config.json"));
      },
      std::move(options));
  encoder.load_weights();
  return encoder;
}

TextEncoder::TextEncoder(std::shared_ptr<const Tokenizer> tokenizer, LoadModel load_model, TextEncoderOptions options)
    : tokenizer_(std::move(tokenizer)), load_model_(std::move(load_model)), options_(std::move(options)) {}

void TextEncoder::load_weights() {
  if (model_) return;
  model_.emplace(load_model_());
  model_->set_softcap(options_.softcap);
}

void TextEncoder::replace_weights(LoadModel load_model) {
  release_weights();
  load_model_ = std::move(load_model);
}

bool TextEncoder::knows(const Context& ctx, const std::string& prompt, bool is_negative) const {
  const std::string instruction = instruction_of(is_negative);
  return std::any_of(cache_.begin(), cache_.end(), [&](const CacheEntry& entry) { return entry.is_of(ctx, prompt, instruction); });
}

PromptEmbedding TextEncoder::encode(Context& ctx, const std::string& prompt, bool is_negative) {
  const std::string instruction = instruction_of(is_negative);
  const auto found =
      std::find_if(cache_.begin(), cache_.end(), [&](const CacheEntry& entry) { return entry.is_of(ctx, prompt, instruction); });
  if (found != cache_.end()) {
    cache_.splice(cache_.begin(), cache_, found);
    PromptEmbedding known = found->embedding;
    known.embeddings = known.embeddings.to(ctx.backend->device());
    return known;
  }

  load_weights();
  PromptTokens tokens = prepare_prompt(*tokenizer_, instruction, prompt);
  const int64_t hidden = model_->config().hidden_size, kept = static_cast<int64_t>(tokens.kept.size());
  PromptEmbedding result{.embeddings = Tensor({kept, hidden}, ctx.dtype, ctx.backend->device()),
                         .ids = std::move(tokens.ids),
                         .mask = std::move(tokens.mask),
                         .cut = tokens.cut};
  const Arena::Scope scope(*ctx.arena);
  const Tensor states = ctx.allocate({static_cast<int64_t>(tokens.input.size()), hidden});
  model_->forward(ctx, tokens.input, states);
  // The first row, then a run of neighbours.
  cast(ctx, states.slice(0, 0, 1), result.embeddings.slice(0, 0, 1));
  if (kept > 1) cast(ctx, states.slice(0, static_cast<int64_t>(tokens.kept[1]), kept - 1), result.embeddings.slice(0, 1, kept - 1));

  if (options_.cached_prompts > 0) {
    cache_.push_front({instruction, prompt, ctx.dtype, result});
    cache_.front().embedding.embeddings = result.embeddings.to(kCpuDevice);
    if (cache_.size() > options_.cached_prompts) cache_.pop_back();
  }
  return result;
}

void TextEncoder::plan(Context& ctx) {
  LINEA_ASSERT(ctx.planning());
  load_weights();
  const int64_t longest = std::max(longest_input(*tokenizer_, options_.instruction), longest_input(*tokenizer_, {}));
  const std::vector<int32_t> ids(static_cast<size_t>(longest), 0);
  const Arena::Scope scope(*ctx.arena);
  const Tensor states = ctx.allocate({longest, model_->config().hidden_size});
  model_->forward(ctx, ids, states);
}

}  // namespace linea
