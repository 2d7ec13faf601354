#include "tokenizers/gguf_tokenizer.h"

#include <algorithm>
#include <map>

#include "core/text.h"
#include "tokenizers/hf_tokenizer.h"
#include "tokenizers/rwkv_world.h"

namespace linea {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";

enum TokenType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

std::string shown(const GgufFile& file) { return printable(file.path().string(), 4096); }

[[noreturn]] void fail(const GgufFile& file, const std::string& what) { throw Error(ErrorKind::kModel, shown(file) + ": " + what); }

// An array with a number for each token, whatever the width of its numbers, fractions where they are wanted; empty when absent.
template <class Number> std::vector<Number> per_token(const GgufFile& file, const std::string& key, size_t tokens) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) return {};
  std::vector<Number> result;
  std::visit(
      [&](const auto& values) {
        using T = std::decay_t<decltype(values)>;
        constexpr bool fractions = std::is_floating_point_v<Number> && std::is_same_v<T, std::vector<float>>;
        if constexpr (std::is_same_v<T, std::vector<int32_t>> || std::is_same_v<T, std::vector<uint32_t>> ||
                      std::is_same_v<T, std::vector<int64_t>> || fractions) {
          for (const auto value : values) result.push_back(static_cast<Number>(value));
        }
      },
      found->second);
  if (result.size() != tokens) fail(file, "key " + key + ": expected a number for each of the " + std::to_string(tokens) + " tokens");
  return result;
}

// The text of the token that a key names by its id; empty when there is none.
std::string token_named(const GgufFile& file, const std::string& key, const std::vector<std::string>& tokens) {
  if (!file.contains(key)) return {};
  const int64_t id = file.integer(key);
  return id >= 0 && id < static_cast<int64_t>(tokens.size()) ? tokens[static_cast<size_t>(id)] : std::string();
}

TokenizerConfig read_config(const GgufFile& file, const std::vector<std::string>& tokens, bool adds_bos) {
  TokenizerConfig config;
  config.bos = token_named(file, "tokenizer.ggml.bos_token_id", tokens);
  config.eos = token_named(file, "tokenizer.ggml.eos_token_id", tokens);
  config.pad = token_named(file, "tokenizer.ggml.padding_token_id", tokens);
  config.unk = token_named(file, "tokenizer.ggml.unknown_token_id", tokens);
  const auto flag = [&](const std::string& key, bool fallback) { return file.contains(key) ? file.boolean(key) : fallback; };
  config.add_bos = flag("tokenizer.ggml.add_bos_token", adds_bos);
  config.add_eos = flag("tokenizer.ggml.add_eos_token", false);
  return config;
}

// ---- RWKV World --------------------------------------------------------------------------------------------------------------------

// Bytes from the inside of Python's b'…': \t \n \r \xHH, and any other character for itself.
std::string unescaped(const std::string& text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 >= text.size()) {
      bytes += text[i];
      continue;
    }
    const char c = text[++i];
    const bool hexadecimal = c == 'x' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
    if (hexadecimal) {
      bytes += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      bytes += c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
    }
  }
  return bytes;
}

std::unique_ptr<Tokenizer> world(const GgufFile& file) {
  const std::vector<std::string>& tokens = file.texts(kTokens);
  const std::vector<int64_t> types = per_token<int64_t>(file, "tokenizer.ggml.token_type", tokens.size());
  std::vector<std::string> bytes(tokens.size());
  for (size_t id = 1; id < tokens.size(); ++id) {  // 0 ends a document
    const bool unused = types.empty() ? tokens[id].starts_with("[PAD") : types[id] == kUnused || types[id] == kControl;
    if (!unused) bytes[id] = unescaped(tokens[id]);
  }
  while (!bytes.empty() && bytes.back().empty()) bytes.pop_back();
  return std::make_unique<RwkvWorldTokenizer>(RwkvWorldTokenizer::from_tokens(std::move(bytes), shown(file) + ": " + kTokens));
}

// ---- BPE ---------------------------------------------------------------------------------------------------------------------------

Json added_tokens(const std::vector<std::string>& tokens, const std::vector<int64_t>& types) {
  Json list = Json::array();
  for (size_t id = 0; id < types.size(); ++id) {
    if (tokens[id].empty() || (types[id] != kControl && types[id] != kUserDefined)) continue;
    const bool special = types[id] == kControl;
    list.push_back({{"id", id}, {"content", to_valid_utf8(tokens[id])}, {"special", special}, {"normalized", !special}});
  }
  return list;
}

Json split(const char* pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
}

// How the text of a "gpt2" vocabulary is cut, by the name that llama.cpp gave to each way.
Json cuts_named(const std::string& pre, const std::string& source) {
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const Json gpt2 = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  const auto sequence = [&](std::vector<Json> steps) { return Json{{"type", "Sequence"}, {"pretokenizers", steps}}; };
  static const char* const kLlama3 =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  static const char* const kQwen2 =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  if (pre == "gpt-2" || pre == "default" || pre == "mpt" || pre == "olmo" || pre == "jais") return gpt2;
  if (pre == "llama-bpe" || pre == "llama3" || pre == "dbrx" || pre == "smaug-bpe") return sequence({split(kLlama3), byte_level});
  if (pre == "qwen2" || pre == "stablelm2") return sequence({split(kQwen2), byte_level});
  if (pre == "smollm" || pre == "starcoder" || pre == "refact" || pre == "command-r" || pre == "codeshell" || pre == "exaone") {
    return sequence({{{"type", "Digits"}, {"individual_digits", true}}, gpt2});
  }
  if (pre == "falcon") {
    return sequence({{{"type", "Punctuation"}, {"behavior", "Contiguous"}}, gpt2, split("[0-9][0-9][0-9]")});
  }
  throw Error(ErrorKind::kModel, source + ": key tokenizer.ggml.pre: the way of cutting text \"" + printable(pre) + "\" is not supported");
}

std::unique_ptr<Tokenizer> byte_level(const GgufFile& file) {
  const std::vector<std::string>& tokens = file.texts(kTokens);
  const std::string pre = file.contains("tokenizer.ggml.pre") ? file.text("tokenizer.ggml.pre") : "gpt-2";
  Json json = {{"model", Json::object()}, {"pre_tokenizer", cuts_named(pre, shown(file))}, {"decoder", {{"type", "ByteLevel"}}}};
  if (pre == "mpt" || pre == "olmo") json["normalizer"] = {{"type", "NFC"}};
  json["added_tokens"] = added_tokens(tokens, per_token<int64_t>(file, "tokenizer.ggml.token_type", tokens.size()));
  const BpeTable table = {.pieces = tokens, .merges = file.texts("tokenizer.ggml.merges"), .scores = {}};
  return std::make_unique<HfTokenizer>(json, table, read_config(file, tokens, /*adds_bos=*/false), shown(file) + ": tokenizer");
}

std::unique_ptr<Tokenizer> by_score(const GgufFile& file) {
  const std::vector<std::string>& tokens = file.texts(kTokens);
  const bool blank_first = !file.contains("tokenizer.ggml.add_space_prefix") || file.boolean("tokenizer.ggml.add_space_prefix");
  const Json blank = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};
  Json normalizers = Json::array({blank}), decoders = Json::array();
  decoders.push_back({{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}});
  decoders.push_back({{"type", "ByteFallback"}});
  decoders.push_back({{"type", "Fuse"}});
  if (blank_first) {
    normalizers.insert(normalizers.begin(), Json{{"type", "Prepend"}, {"prepend", "\u2581"}});
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  Json json = {{"normalizer", {{"type", "Sequence"}, {"normalizers", normalizers}}},
               {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
               {"model", {{"byte_fallback", true}, {"fuse_unk", true}}}};
  json["added_tokens"] = added_tokens(tokens, per_token<int64_t>(file, "tokenizer.ggml.token_type", tokens.size()));
  const TokenizerConfig config = read_config(file, tokens, /*adds_bos=*/true);
  if (!config.unk.empty()) json["model"]["unk_token"] = config.unk;
  const BpeTable table = {.pieces = tokens, .merges = {}, .scores = per_token<float>(file, "tokenizer.ggml.scores", tokens.size())};
  if (table.scores.empty()) fail(file, "key tokenizer.ggml.scores is missing");
  return std::make_unique<HfTokenizer>(json, table, config, shown(file) + ": tokenizer");
}

// A pre-tokenizer with every member that has a default.
Json spelled_out(const Json& cuts) {
  if (!cuts.is_object()) return cuts;
  const std::string type = cuts.value("type", "");
  if (type == "Sequence") {
    Json steps = Json::array();
    for (const Json& step : cuts.value("pretokenizers", Json::array())) steps.push_back(spelled_out(step));
    return steps.size() == 1 ? steps[0] : Json{{"type", type}, {"pretokenizers", steps}};
  }
  Json result = cuts;
  if (type == "ByteLevel") {
    result["add_prefix_space"] = cuts.value("add_prefix_space", true);
    result["use_regex"] = cuts.value("use_regex", true);
    result.erase("trim_offsets");
  } else if (type == "Split") {
    result["invert"] = cuts.value("invert", false);
  } else if (type == "Punctuation") {
    result["behavior"] = cuts.value("behavior", "Isolated");
  }
  return result;
}

}  // namespace

bool same_cuts(const Json& pre_tokenizer, const std::string& name) {
  return spelled_out(pre_tokenizer) == spelled_out(cuts_named(name, "tokenizer"));
}

std::unique_ptr<Tokenizer> gguf_tokenizer(const GgufFile& file) {
  if (!file.contains("tokenizer.ggml.model") || !file.contains(kTokens)) return nullptr;
  const std::string& model = file.text("tokenizer.ggml.model");
  if (model == "rwkv") return world(file);
  if (model == "gpt2") return byte_level(file);
  if (model == "llama") return by_score(file);
  if (model == "no_vocab" || model == "none") return nullptr;
  fail(file, "key tokenizer.ggml.model: the tokenizer \"" + printable(model) + "\" is not supported");
}

}  // namespace linea
