// Stands in for sentencepiece_tokenizer.cpp where the library is not installed.
#include "core/error.h"
#include "tokenizers/sentencepiece_tokenizer.h"

namespace linea {

std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& file, const TokenizerConfig&) {
  throw Error(ErrorKind::kModel, file.string() + ": this build has no SentencePiece; expected a tokenizer.json beside it");
}

}  // namespace linea
