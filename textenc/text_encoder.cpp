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

std::list<TextEncoder::CacheEntry>::const_iterator TextEncoder::find(const Context& ctx, const Prompt& prompt) const {
  const std::string instruction = instruction_of(prompt);
  return std::find_if(cache_.begin(), cache_.end(), [&](const CacheEntry& e) { return e.is_of(ctx, prompt.text, instruction); });
}

bool TextEncoder::knows(const Context& ctx, const Prompt& prompt) const { return find(ctx, prompt) != cache_.end(); }

void TextEncoder::keep(const Context& ctx, const Prompt& prompt, const PromptEmbedding& embedding) {
  if (options_.cached_prompts == 0) return;
  cache_.push_front({instruction_of(prompt), prompt.text, ctx.dtype, embedding});
  cache_.front().embedding.embeddings = embedding.embeddings.to(kCpuDevice);
  if (cache_.size() > options_.cached_prompts) cache_.pop_back();
}

PromptEmbedding TextEncoder::encode(Context& ctx, const std::string& prompt, bool is_negative) {
  const Prompt one[] = {{prompt, is_negative}};
  return std::move(encode(ctx, one).front());
}

std::vector<PromptEmbedding> TextEncoder::encode(Context& ctx, std::span<const Prompt> prompts) {
  std::vector<PromptEmbedding> results(prompts.size());
  std::vector<size_t> unknown;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto found = find(ctx, prompts[i]);
    if (found == cache_.end()) {
      unknown.push_back(i);
      continue;
    }
    cache_.splice(cache_.begin(), cache_, found);
    results[i] = found->embedding;
    results[i].embeddings = results[i].embeddings.to(ctx.backend->device());
  }
  if (unknown.empty()) return results;

  load_weights();
  const int64_t hidden = model_->config().hidden_size;
  const Arena::Scope scope(*ctx.arena);
  std::vector<PromptTokens> tokens;
  for (const size_t i : unknown) tokens.push_back(prepare_prompt(*tokenizer_, instruction_of(prompts[i]), prompts[i].text));
  std::vector<Gemma2::Text> texts;
  for (const PromptTokens& t : tokens) texts.push_back({t.input, ctx.allocate({static_cast<int64_t>(t.input.size()), hidden})});
  model_->forward(ctx, texts);
  for (size_t n = 0; n < unknown.size(); ++n) {
    PromptTokens& t = tokens[n];
    const auto kept = static_cast<int64_t>(t.kept.size());
    PromptEmbedding& result = results[unknown[n]];
    result = {.embeddings = Tensor({kept, hidden}, ctx.dtype, ctx.backend->device()),
              .ids = std::move(t.ids),
              .mask = std::move(t.mask),
              .cut = t.cut};
    // The first row, then a run of neighbours.
    const Tensor& states = texts[n].y;
    cast(ctx, states.slice(0, 0, 1), result.embeddings.slice(0, 0, 1));
    if (kept > 1) cast(ctx, states.slice(0, static_cast<int64_t>(t.kept[1]), kept - 1), result.embeddings.slice(0, 1, kept - 1));
    keep(ctx, prompts[unknown[n]], result);
  }
  return results;
}

void TextEncoder::plan(Context& ctx) {
  LINEA_ASSERT(ctx.planning());
  load_weights();
  const Arena::Scope scope(*ctx.arena);
  std::vector<std::vector<int32_t>> ids;
  for (const std::string& instruction : {options_.instruction, std::string()}) {
    ids.emplace_back(static_cast<size_t>(longest_input(*tokenizer_, instruction)), 0);
  }
  std::vector<Gemma2::Text> texts;
  for (const std::vector<int32_t>& longest : ids) {
    texts.push_back({longest, ctx.allocate({static_cast<int64_t>(longest.size()), model_->config().hidden_size})});
  }
  model_->forward(ctx, texts);
}

}  // namespace linea
