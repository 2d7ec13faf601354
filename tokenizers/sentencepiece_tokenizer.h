// tokenizers/sentencepiece_tokenizer.h: tokenizer.model, read by the SentencePiece library.
#pragma once

#include <filesystem>
#include <memory>

#include "tokenizers/tokenizer.h"
#include "tokenizers/tokenizer_config.h"

namespace linea {

// bos comes before each text unless add_bos_token is false, eos after it when add_eos_token is true. bos, eos, pad and unk are found in the
// text before SentencePiece sees it; its user-defined symbols it finds itself. Throws kModel, also when built without SentencePiece.
std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& file, const TokenizerConfig& config);

}  // namespace linea
