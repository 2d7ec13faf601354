#include "tokenizers/tokenizer.h"

#include <algorithm>

#include "core/error.h"
#include "tokenizers/hf_tokenizer.h"
#include "tokenizers/sentencepiece_tokenizer.h"
#include "tokenizers/tokenizer_config.h"

namespace linea {

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

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  const TokenizerConfig config = read_tokenizer_config(folder);
  std::error_code ignored;
  if (std::filesystem::exists(folder / "tokenizer.json", ignored)) return load_hf_tokenizer(folder / "tokenizer.json", config);
  if (std::filesystem::exists(folder / "tokenizer.model", ignored)) return load_sentencepiece(folder / "tokenizer.model", config);
  throw Error(ErrorKind::kModel, folder.string() + ": no tokenizer: expected tokenizer.json or tokenizer.model");
}

}  // namespace linea
