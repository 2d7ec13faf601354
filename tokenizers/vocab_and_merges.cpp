// tokenizers/vocab_and_merges.cpp: byte-level BPE from vocab.json and merges.txt, as GPT-2 had it before tokenizer.json.
#include <set>

#include "core/mapped_file.h"
#include "tokenizers/hf_tokenizer.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxBytes = int64_t{256} << 20, kMaxId = (int64_t{1} << 24) - 1;

std::vector<std::string> pieces_of(const Json& json, const std::string& source) {
  if (!json.is_object()) throw Error(ErrorKind::kModel, source + ": expected an object of pieces and ids");
  std::vector<std::string> pieces;
  for (const auto& [piece, id] : json.items()) {
    const int64_t number = id.is_number_integer() ? id.get<int64_t>() : -1;
    if (number < 0 || number > kMaxId) throw Error(ErrorKind::kModel, source + ": \"" + piece + "\": expected an id");
    if (static_cast<size_t>(number) >= pieces.size()) pieces.resize(static_cast<size_t>(number) + 1);
    pieces[static_cast<size_t>(number)] = piece;
  }
  return pieces;
}

// One merge a line, after an optional "#version: …".
std::vector<std::string> read_merges(const fs::path& file) {
  const std::string text = read_file(file, kMaxBytes, ErrorKind::kModel);
  std::vector<std::string> merges;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty() && !(begin == 0 && line.starts_with("#version"))) merges.push_back(std::move(line));
    begin = end + 1;
  }
  return merges;
}

// Of added_tokens.json ({"text": id}) and of added_tokens_decoder in tokenizer_config.json, and what has a role, as tokenizer.json lists
// them.
Json added_tokens(const fs::path& folder, const TokenizerConfig& config) {
  Json list = Json::array();
  std::set<std::string> known;
  const auto add = [&](Json token) {
    if (token.is_object() && token.contains("content") && token.contains("id") && known.insert(token["content"].dump()).second)
      list.push_back(std::move(token));
  };
  std::error_code ignored;
  if (fs::exists(folder / "tokenizer_config.json", ignored)) {
    const Config file = Config::read(folder / "tokenizer_config.json");
    if (file.has("added_tokens_decoder")) {
      for (const auto& [id, token] : file.at("added_tokens_decoder").items()) {
        Json entry = token;
        if (entry.is_object() && id.size() < 9 && id.find_first_not_of("0123456789") == std::string::npos) entry["id"] = std::stol(id);
        add(std::move(entry));
      }
    }
  }
  const auto add_text = [&](const std::string& text, const Json& id, bool special) {
    Json token = Json::object();
    token["content"] = text;
    token["id"] = id;
    token["special"] = special;
    add(std::move(token));
  };
  for (const std::string& text : {config.bos, config.eos, config.pad, config.unk}) {
    if (!text.empty()) add_text(text, 0, /*special=*/true);  // one of the vocabulary keeps its id there
  }
  if (fs::exists(folder / "added_tokens.json", ignored)) {
    for (const auto& [text, id] : read_json_file(folder / "added_tokens.json").items()) add_text(text, id, /*special=*/false);
  }
  return list;
}

}  // namespace

Json vocab_and_merges_document(const fs::path& folder, const TokenizerConfig& config) {
  const bool blank_first = config.add_prefix_space.value_or(false);
  Json vocab = read_json_file(folder / "vocab.json");
  Json file = {{"model", {{"vocab", std::move(vocab)}, {"merges", read_merges(folder / "merges.txt")}}},
               {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", blank_first}}},
               {"decoder", {{"type", "ByteLevel"}}}};
  file["added_tokens"] = added_tokens(folder, config);
  return file;
}

std::unique_ptr<Tokenizer> load_vocab_and_merges(const fs::path& folder, const TokenizerConfig& config) {
  Json file = vocab_and_merges_document(folder, config);
  const std::string source = (folder / "vocab.json").string();
  Json& model = file["model"];
  const BpeTable table = {
      .pieces = pieces_of(model["vocab"], source), .merges = model["merges"].get<std::vector<std::string>>(), .scores = {}};
  model = Json::object();
  return std::make_unique<HfTokenizer>(file, table, config, source);
}

}  // namespace linea
