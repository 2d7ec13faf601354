#include "textenc/text_encoder.h"

#include <algorithm>

#include "kernels/backend.h"

namespace linea {

TextEncoder TextEncoder::load(Context& ctx, const std::filesystem::path& model, TextEncoderOptions options) {
  TextEncoder encoder;
  encoder.options_ = std::move(options);
  encoder.tokenizer_ = load_tokenizer(model / "tokenizer");
  const std::filesystem::path folder = model / "text_encoder";
  encoder.model_ = Gemma2::load(ctx, Checkpoint::open_folder(folder, "model"), Gemma2Config::read(folder / "config.json"));
  encoder.model_.set_softcap(encoder.options_.softcap);
  return encoder;
}

PromptEmbedding TextEncoder::encode(Context& ctx, const std::string& prompt, bool is_negative) {
  const std::string instruction = is_negative ? std::string() : options_.instruction;
  const auto found = std::find_if(cache_.begin(), cache_.end(), [&](const CacheEntry& entry) {
    return entry.prompt == prompt && entry.instruction == instruction && entry.dtype == ctx.dtype;
  });
  if (found != cache_.end()) {
    cache_.splice(cache_.begin(), cache_, found);
    return found->embedding;
  }

  PromptTokens tokens = prepare_prompt(*tokenizer_, instruction, prompt);
  const int64_t hidden = model_.config().hidden_size, kept = static_cast<int64_t>(tokens.kept.size());
  PromptEmbedding result{.embeddings = Tensor({kept, hidden}, ctx.dtype, ctx.backend->device()),
                         .ids = std::move(tokens.ids),
                         .mask = std::move(tokens.mask),
                         .cut = tokens.cut};
  const Arena::Scope scope(*ctx.arena);
  const Tensor states = ctx.allocate({static_cast<int64_t>(tokens.input.size()), hidden});
  model_.forward(ctx, tokens.input, states);
  // The first row, then a run of neighbours.
  cast(ctx, states.slice(0, 0, 1), result.embeddings.slice(0, 0, 1));
  if (kept > 1) cast(ctx, states.slice(0, static_cast<int64_t>(tokens.kept[1]), kept - 1), result.embeddings.slice(0, 1, kept - 1));

  if (options_.cached_prompts > 0) {
    cache_.push_front({instruction, prompt, ctx.dtype, result});
    if (cache_.size() > options_.cached_prompts) cache_.pop_back();
  }
  return result;
}

void TextEncoder::plan(Context& ctx) const {
  LINEA_ASSERT(ctx.planning());
  const int64_t longest = std::max(longest_input(*tokenizer_, options_.instruction), longest_input(*tokenizer_, {}));
  const std::vector<int32_t> ids(static_cast<size_t>(longest), 0);
  const Arena::Scope scope(*ctx.arena);
  const Tensor states = ctx.allocate({longest, model_.config().hidden_size});
  model_.forward(ctx, ids, states);
}

}  // namespace linea
