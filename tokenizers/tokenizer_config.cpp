#include "tokenizers/tokenizer_config.h"

#include "core/json.h"

namespace linea {
namespace {

// A special token is written as its text or as an AddedToken object with a `content`.
void read_token(const Config& config, const std::string& key, std::string& token) {
  if (!token.empty() || !config.has(key)) return;
  const Json& value = config.at(key);
  if (value.is_string()) {
    token = value.get<std::string>();
  } else if (value.is_object() && value.contains("content") && value["content"].is_string()) {
    token = value["content"].get<std::string>();
  } else {
    config.fail(key, "expected a string or an object with \"content\"");
  }
}

std::optional<bool> read_flag(const Config& config, const std::string& key) {
  if (!config.has(key)) return std::nullopt;
  return config.boolean(key, false);
}

}  // namespace

TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder) {
  TokenizerConfig result;
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    std::error_code ignored;
    if (!std::filesystem::exists(folder / name, ignored)) continue;
    const Config config = Config::read(folder / name);
    read_token(config, "bos_token", result.bos);
    read_token(config, "eos_token", result.eos);
    read_token(config, "pad_token", result.pad);
    read_token(config, "unk_token", result.unk);
    if (!result.add_bos) result.add_bos = read_flag(config, "add_bos_token");
    if (!result.add_eos) result.add_eos = read_flag(config, "add_eos_token");
    if (!result.add_prefix_space) result.add_prefix_space = read_flag(config, "add_prefix_space");
  }
  return result;
}

SpecialIds find_special_ids(const TokenizerConfig& config, const std::function<int32_t(const std::string&)>& id_of) {
  const auto find = [&](const std::string& named, std::initializer_list<const char*> usual) {
    if (!named.empty()) return id_of(named);
    for (const char* name : usual)
      if (const int32_t id = id_of(name); id >= 0) return id;
    return int32_t{-1};
  };
  return {.bos = find(config.bos, {"<bos>", "<s>", "<|begin_of_text|>"}),
          .eos = find(config.eos, {"<eos>", "</s>", "<|endoftext|>"}),
          .pad = find(config.pad, {"<pad>", "[PAD]"}),
          .unk = find(config.unk, {"<unk>", "[UNK]"})};
}

}  // namespace linea
