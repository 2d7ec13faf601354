#include "lm/model_folder.h"

#include <algorithm>

#include "lm/content_hash.h"
#include "lm/convert.h"
#include "lm/load.h"
#include "lm/template_text.h"
#include "tokenizers/gguf_tokenizer.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

// Ends of text beside the tokenizer's own: llama.cpp's end of turn, but for World, where it stands for a blank line.
std::vector<int32_t> stop_ids_of(const Tokenizer& tokenizer, const GgufFile* gguf) {
  std::vector<int32_t> ids;
  const auto add = [&](int64_t id) {
    const bool fits = id >= 0 && id < tokenizer.vocabulary_size();
    if (fits && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(static_cast<int32_t>(id));
  };
  add(tokenizer.special().eos);
  if (!gguf || (gguf->contains("tokenizer.ggml.model") && gguf->text("tokenizer.ggml.model") == "rwkv")) return ids;
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    if (gguf->contains(key)) add(gguf->integer(key));
  }
  return ids;
}

}  // namespace

LanguageModelFolder open_language_model(Context& ctx, const fs::path& path, const LanguageModelOptions& options) {
  const ModelSource source = open_model_source(path);
  const fs::path parent = fs::is_directory(path) ? path : path.parent_path();
  const fs::path folder = parent.empty() ? fs::path(".") : parent;
  LanguageModelFolder result;
  result.family = source.family;
  result.content_hash = content_hash(source.checkpoint);
  if (source.gguf) {
    result.tokenizer = gguf_tokenizer(*source.gguf);
    result.chat_template = read_chat_template(*source.gguf);
  }
  if (!result.tokenizer) result.tokenizer = find_tokenizer(folder);
  if (result.chat_template.empty() && !source.gguf) result.chat_template = read_chat_template(folder);
  result.model = load_language_model(ctx, options.quantize ? quantized_source(source, *options.quantize) : source);
  if (!result.tokenizer) return result;
  if (const int64_t tokens = result.tokenizer->vocabulary_size(), rows = result.model->vocabulary_size(); tokens > rows) {
    throw Error(ErrorKind::kModel,
                path.string() + ": its tokenizer has " + std::to_string(tokens) + " tokens, the model only " + std::to_string(rows));
  }
  result.stop_ids = stop_ids_of(*result.tokenizer, source.gguf.get());
  return result;
}

}  // namespace linea
