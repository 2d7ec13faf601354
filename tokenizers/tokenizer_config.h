// tokenizers/tokenizer_config.h: what tokenizer_config.json and special_tokens_map.json say beside the tokenizer itself.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "tokenizers/tokenizer.h"

namespace linea {

struct TokenizerConfig {
  std::string bos, eos, pad, unk;  // texts of the special tokens; empty = not named
  std::optional<bool> add_bos, add_eos, add_prefix_space;
};

// Missing files give an empty config. Throws kModel for a broken one.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

// Ids of the named tokens; a role that no file names falls back to its usual spellings ("<bos>", "<s>", …).
SpecialIds find_special_ids(const TokenizerConfig& config, const std::function<int32_t(const std::string&)>& id_of);

}  // namespace linea
