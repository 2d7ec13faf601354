// lm/model_folder.h: all that a chat needs of a language model on disk: weights, tokenizer, chat template.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lm/language_model.h"
#include "tokenizers/tokenizer.h"

namespace linea {

struct LanguageModelFolder {
  std::unique_ptr<LanguageModel> model;
  std::unique_ptr<Tokenizer> tokenizer;  // null when there is none
  std::string chat_template;             // Jinja text, empty when there is none
  std::string family;                    // "rwkv4" … "rwkv7", "mamba", "mamba2"
  std::string content_hash;              // of names, shapes, types and samples of the content of all tensors: 16 hexadecimal digits
  std::vector<int32_t> stop_ids;         // tokens that end a text
};

struct LanguageModelOptions {
  std::optional<DType> quantize;  // matrices to a block-quantised type while loading: kQ8_0 is --dtype int8, kQ4_K is int4
};

// A folder in Hugging Face's layout or with one file of weights, or such a file itself (.pth, .safetensors, .gguf), with config.json,
// tokenizer.json, vocab.json and merges.txt, tokenizer.model or an RWKV World vocabulary (*vocab*.txt) beside it; a GGUF file holds its own
// and what lies beside it counts only where it has none. Throws kModel naming the file and what is missing, wrong or unsupported.
LanguageModelFolder open_language_model(Context& ctx, const std::filesystem::path& path, const LanguageModelOptions& options = {});

}  // namespace linea
