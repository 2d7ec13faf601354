// tokenizers/gguf_tokenizer.h: the tokenizer in the metadata of a GGUF file (keys tokenizer.ggml.…).
//
// Models "rwkv" (World), "gpt2" (byte-level BPE, cut as `pre` says) and "llama" (SentencePiece BPE by scores). Ids are those of the
// tokenizer that the file was made from, so GPT-NeoX's vocabulary is read after NFC although GGUF does not say so.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/gguf.h"
#include "core/json.h"
#include "tokenizers/tokenizer.h"

namespace linea {

std::unique_ptr<Tokenizer> gguf_tokenizer(const GgufFile& file);  // null when the file has none; throws kModel

// Whether the pre-tokenizer of a tokenizer.json cuts text as GGUF's tokenizer.ggml.pre `name` does. Throws kModel for an unknown name.
bool same_cuts(const Json& pre_tokenizer, const std::string& name);

// The way back: the metadata for the tokenizer in `folder` (tokenizer.json, vocab.json with merges.txt, or a World vocabulary), padded to
// `rows` tokens, the rows of the model's embedding. Empty when there is none. Throws kModel for tokenizers that GGUF has no words for.
std::vector<std::pair<std::string, GgufValue>> gguf_tokenizer_keys(const std::filesystem::path& folder, int64_t rows);

}  // namespace linea
