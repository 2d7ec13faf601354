// tokenizers/gguf_tokenizer_write.cpp: tokenizers as metadata of GGUF.
#include <cstdio>
#include <map>

#include "core/json.h"
#include "tokenizers/gguf_tokenizer.h"
#include "tokenizers/hf_tokenizer.h"
#include "tokenizers/rwkv_world.h"

namespace linea {
namespace {

namespace fs = std::filesystem;
using Keys = std::vector<std::pair<std::string, GgufValue>>;

enum TokenType : int32_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

struct TokenList {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;

  explicit TokenList(int64_t rows) {
    for (int64_t id = 0; id < rows; ++id) tokens.push_back("[PAD" + std::to_string(id) + "]");
    types.assign(tokens.size(), kUnused);
  }
  void set(int64_t id, std::string token, TokenType type, const std::string& source) {
    if (id < 0 || id >= static_cast<int64_t>(tokens.size())) {
      throw Error(ErrorKind::kModel,
                  source + ": id " + std::to_string(id) + " is beyond the model's " + std::to_string(tokens.size()) + " tokens");
    }
    tokens[static_cast<size_t>(id)] = std::move(token);
    types[static_cast<size_t>(id)] = type;
  }
};

// ---- RWKV World --------------------------------------------------------------------------------------------------------------------

// What stands between the quotes of Python's repr(bytes).
std::string escaped(std::string_view bytes) {
  const bool double_quotes = bytes.find('\'') != std::string_view::npos && bytes.find('"') == std::string_view::npos;
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\' || (c == '\'' && !double_quotes)) {
      text += std::string("\\") + c;
    } else if (c == '\t' || c == '\n' || c == '\r') {
      text += c == '\t' ? "\\t" : c == '\n' ? "\\n" : "\\r";
    } else if (byte < 0x20 || byte >= 0x7f) {
      char digits[5];
      std::snprintf(digits, sizeof digits, "\\x%02x", byte);
      text += digits;
    } else {
      text += c;
    }
  }
  return text;
}

Keys world_keys(const fs::path& file, int64_t rows) {
  const RwkvWorldTokenizer tokenizer = RwkvWorldTokenizer::load(file);
  TokenList list(rows);
  list.set(0, "<s>", kControl, file.string());
  for (int32_t id = 1; id < tokenizer.vocabulary_size(); ++id) {
    if (!tokenizer.token(id).empty()) list.set(id, escaped(tokenizer.token(id)), kNormal, file.string());
  }
  return {{"tokenizer.ggml.model", std::string("rwkv")}, {"tokenizer.ggml.tokens", list.tokens},
          {"tokenizer.ggml.token_type", list.types},     {"tokenizer.ggml.bos_token_id", uint32_t{0}},
          {"tokenizer.ggml.eos_token_id", uint32_t{0}},  {"tokenizer.ggml.unknown_token_id", uint32_t{0}}};
}

// ---- Byte-level BPE ----------------------------------------------------------------------------------------------------------------

// GGUF's name for what a tokenizer.json does before BPE.
std::string name_of_cuts(const Json& file, const std::string& source) {
  const Json normalizer = file.value("normalizer", Json()), cuts = file.value("pre_tokenizer", Json());
  const bool nfc = normalizer.is_object() && normalizer.value("type", "") == "NFC";
  for (const char* name : {"gpt-2", "mpt", "llama-bpe", "qwen2", "starcoder", "falcon"}) {
    if (same_cuts(cuts, name) && (normalizer.is_null() || nfc) && nfc == (std::string(name) == "mpt")) return name;
  }
  // Qwen's own files normalize to NFC, which llama.cpp leaves out.
  if (nfc && same_cuts(cuts, "qwen2")) return "qwen2";
  throw Error(ErrorKind::kModel, source + ": GGUF has no name for its normalizer and pre-tokenizer", "convert without the tokenizer");
}

Json read_document(const fs::path& folder) {
  const fs::path file = folder / "tokenizer.json";
  std::error_code ignored;
  if (fs::exists(file, ignored)) return read_json_file(file);
  return vocab_and_merges_document(folder, read_tokenizer_config(folder));
}

Keys byte_level_keys(const fs::path& folder, int64_t rows) {
  const Json file = read_document(folder);
  const std::string source = (folder / "tokenizer.json").string();
  const Config model(file.value("model", Json()), source + ": model");
  if (model.boolean("byte_fallback", false)) {
    throw Error(ErrorKind::kModel, source + ": only byte-level tokenizers can be written to GGUF", "convert without the tokenizer");
  }
  TokenList list(rows);
  for (const auto& [piece, id] : model.at("vocab").items())
    list.set(id.is_number_integer() ? id.get<int64_t>() : -1, piece, kNormal, source);
  for (const Json& json : file.value("added_tokens", Json::array())) {
    const Config token(json, source + ": added_tokens");
    const std::string content = token.text("content");
    const auto known = model.at("vocab").find(content);
    const int64_t id = known != model.at("vocab").end() ? known->get<int64_t>() : token.integer("id", 0, rows - 1);
    list.set(id, content, token.boolean("special", false) ? kControl : kUserDefined, source);
  }
  std::vector<std::string> merges;
  for (const Json& merge : model.at("merges")) {
    const bool pair = merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
    if (!pair && !merge.is_string()) model.fail("merges", "expected pairs of pieces");
    merges.push_back(pair ? merge[0].get<std::string>() + " " + merge[1].get<std::string>() : merge.get<std::string>());
  }
  Keys keys = {{"tokenizer.ggml.model", std::string("gpt2")},
               {"tokenizer.ggml.pre", name_of_cuts(file, source)},
               {"tokenizer.ggml.tokens", list.tokens},
               {"tokenizer.ggml.token_type", list.types},
               {"tokenizer.ggml.merges", merges}};
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(folder);
  const auto add = [&](const char* key, int32_t id) {
    if (id >= 0) keys.emplace_back(key, static_cast<uint32_t>(id));
  };
  add("tokenizer.ggml.bos_token_id", tokenizer->special().bos);
  add("tokenizer.ggml.eos_token_id", tokenizer->special().eos);
  add("tokenizer.ggml.padding_token_id", tokenizer->special().pad);
  add("tokenizer.ggml.unknown_token_id", tokenizer->special().unk);
  keys.emplace_back("tokenizer.ggml.add_bos_token", !tokenizer->text_template().prefix.empty());
  return keys;
}

}  // namespace

Keys gguf_tokenizer_keys(const fs::path& folder, int64_t rows) {
  std::error_code ignored;
  const bool two_files = fs::exists(folder / "vocab.json", ignored) && fs::exists(folder / "merges.txt", ignored);
  if (fs::exists(folder / "tokenizer.json", ignored) || two_files) return byte_level_keys(folder, rows);
  if (fs::exists(folder / "tokenizer.model", ignored)) {
    throw Error(ErrorKind::kModel, (folder / "tokenizer.model").string() + ": SentencePiece models cannot be written to GGUF",
                "convert without the tokenizer");
  }
  const fs::path world = world_vocabulary(folder);
  return world.empty() ? Keys{} : world_keys(world, rows);
}

}  // namespace linea
