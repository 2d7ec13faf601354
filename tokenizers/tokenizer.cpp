#include "tokenizers/tokenizer.h"

#include <algorithm>

#include "core/error.h"
#include "tokenizers/hf_tokenizer.h"
#include "tokenizers/rwkv_world.h"
#include "tokenizers/sentencepiece_tokenizer.h"
#include "tokenizers/tokenizer_config.h"

namespace linea {
namespace fs = std::filesystem;

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  size_t cut = 0;
  return encode(text, SIZE_MAX, cut);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, size_t limit, size_t& cut) const {
  const size_t frame = template_.prefix.size() + template_.suffix.size();
  std::vector<int32_t> body = encode_without_template(text);
  const size_t kept = std::min(body.size(), limit > frame ? limit - frame : 0);
  cut = body.size() - kept;
  body.resize(kept);
  body.insert(body.begin(), template_.prefix.begin(), template_.prefix.end());
  body.insert(body.end(), template_.suffix.begin(), template_.suffix.end());
  return body;
}

fs::path world_vocabulary(const fs::path& folder) {
  fs::path first;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const bool matches = name.ends_with(".txt") && name.find("vocab") != std::string::npos;
    if (matches && (first.empty() || entry->path() < first)) first = entry->path();
  }
  return first;
}

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& folder) {
  if (std::unique_ptr<Tokenizer> tokenizer = find_tokenizer(folder)) return tokenizer;
  throw Error(ErrorKind::kModel, folder.string() + ": no tokenizer: expected tokenizer.json or tokenizer.model");
}

std::unique_ptr<Tokenizer> find_tokenizer(const fs::path& folder) {
  const TokenizerConfig config = read_tokenizer_config(folder);
  std::error_code ignored;
  if (fs::exists(folder / "tokenizer.json", ignored)) return load_hf_tokenizer(folder / "tokenizer.json", config);
  if (fs::exists(folder / "vocab.json", ignored) && fs::exists(folder / "merges.txt", ignored))
    return load_vocab_and_merges(folder, config);
  if (fs::exists(folder / "tokenizer.model", ignored)) return load_sentencepiece(folder / "tokenizer.model", config);
  if (const fs::path world = world_vocabulary(folder); !world.empty()) {
    return std::make_unique<RwkvWorldTokenizer>(RwkvWorldTokenizer::load(world));
  }
  return nullptr;
}

}  // namespace linea
