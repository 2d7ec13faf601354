#include "tokenizers/hf_tokenizer.h"

#include <algorithm>
#include <fstream>

#include "tokenizers/json_cursor.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{256} << 20;

const Json& member(const Json& object, const char* key) {
  static const Json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

Config model_options(const Json& file, const std::string& source) {
  Config model(member(file, "model"), source + ": model");
  const std::string type = model.text("type", "BPE");  // files of old converters leave it out
  if (type != "BPE") model.fail("type", "unsupported tokenizer model \"" + type + "\", expected \"BPE\"");
  return model;
}

// The text of the document with the two large members of "model" taken out.
struct Document {
  std::string small;
  std::string_view vocab, merges;
};

Document take_apart(std::string_view text, const std::string& source) {
  Document document;
  JsonCursor cursor(text, source);
  std::string scratch;
  size_t copied = 0;
  const auto take = [&](std::string_view& value) {
    cursor.peek();
    document.small.append(text.substr(copied, cursor.position() - copied)).append("null");
    value = cursor.skip_value();
    copied = cursor.position();
  };
  for (bool more = cursor.open('{'); more; more = cursor.next('}')) {
    const bool is_model = cursor.string(scratch) == "model";
    cursor.expect(':');
    if (!is_model || cursor.peek() != '{') {
      cursor.skip_value();
      continue;
    }
    for (bool inner = cursor.open('{'); inner; inner = cursor.next('}')) {
      const std::string_view key = cursor.string(scratch);
      const bool is_vocab = key == "vocab", is_merges = key == "merges";
      cursor.expect(':');
      if (is_vocab && cursor.peek() == '{') {
        take(document.vocab);
      } else if (is_merges && cursor.peek() == '[') {
        take(document.merges);
      } else {
        cursor.skip_value();
      }
    }
  }
  document.small.append(text.substr(copied));
  return document;
}

std::string read_text(const std::filesystem::path& file) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(file, error);
  std::ifstream stream(file, std::ios::binary);
  if (error || !stream) throw Error(ErrorKind::kModel, file.string() + ": cannot be read");
  if (bytes > static_cast<uintmax_t>(kMaxFileBytes))
    throw Error(ErrorKind::kModel, file.string() + ": " + std::to_string(bytes) + " bytes are too many for a tokenizer");
  std::string text(bytes, '\0');
  if (!stream.read(text.data(), static_cast<std::streamsize>(bytes))) throw Error(ErrorKind::kModel, file.string() + ": cannot be read");
  return text;
}

}  // namespace

std::unique_ptr<Tokenizer> load_hf_tokenizer(const std::filesystem::path& file, const TokenizerConfig& config) {
  const std::string text = read_text(file), source = file.string();
  const Document document = take_apart(text, source);
  const Json small = parse_json(document.small, source);
  model_options(small, source);  // names an unsupported model before a missing member
  if (document.vocab.empty()) throw Error(ErrorKind::kModel, source + ": model: vocab: expected an object");
  if (document.merges.empty()) throw Error(ErrorKind::kModel, source + ": model: merges: expected a list");
  return std::make_unique<HfTokenizer>(small, document.vocab, document.merges, config, source);
}

HfTokenizer::HfTokenizer(const Json& file, std::string_view vocab, std::string_view merges, const TokenizerConfig& config,
                         const std::string& source)
    : model_(model_options(file, source), vocab, merges) {
  finish(file, config, source);
}

HfTokenizer::HfTokenizer(const Json& file, const BpeTable& table, const TokenizerConfig& config, const std::string& source)
    : model_(model_options(file, source), table) {
  finish(file, config, source);
}

void HfTokenizer::finish(const Json& file, const TokenizerConfig& config, const std::string& source) {
  normalizer_ = Normalizer(member(file, "normalizer"), source);
  pre_tokenizer_ = PreTokenizer(member(file, "pre_tokenizer"), source);
  decoder_ = Decoder(member(file, "decoder"), source);
  read_added_tokens(file, source);
  special_ = find_special_ids(config, [this](const std::string& piece) { return id_of(piece); });
  read_template(member(file, "post_processor"), source);
  if (member(file, "post_processor").is_null()) {
    if (config.add_bos.value_or(false) && special_.bos >= 0) template_.prefix = {special_.bos};
    if (config.add_eos.value_or(false) && special_.eos >= 0) template_.suffix = {special_.eos};
  }
}

void HfTokenizer::read_added_tokens(const Json& file, const std::string& source) {
  vocabulary_size_ = model_.size();
  std::vector<AddedToken> raw, normalized;
  const Json& list = member(file, "added_tokens");
  if (!list.is_null() && !list.is_array()) throw Error(ErrorKind::kModel, source + ": added_tokens: expected a list");
  for (const Json& json : list) {
    const Config config(json, source + ": added_tokens");
    AddedToken token;
    token.content = config.text("content");
    token.special = config.boolean("special", false);
    token.single_word = config.boolean("single_word", false);
    token.lstrip = config.boolean("lstrip", false);
    token.rstrip = config.boolean("rstrip", false);
    token.normalized = config.boolean("normalized", !token.special);
    if (token.content.empty()) continue;
    // A piece of the vocabulary keeps its id there, whatever the list says: the reference does so too.
    token.id = model_.id_of(token.content);
    if (token.id < 0) token.id = static_cast<int32_t>(config.integer("id", 0, (1 << 24) - 1));
    vocabulary_size_ = std::max(vocabulary_size_, token.id + 1);
    added_ids_[token.content] = token.id;
    if (token.normalized) token.content = normalizer_.apply(token.content);  // which is what decoding gives back, too
    added_[token.id] = token;
    (token.normalized ? normalized : raw).push_back(std::move(token));
  }
  raw_tokens_ = std::make_unique<AddedTokenMatcher>(std::move(raw));
  normalized_tokens_ = std::make_unique<AddedTokenMatcher>(std::move(normalized));
}

// "single" of a TemplateProcessing lists what surrounds the text: {"SpecialToken": {"id": "<bos>"}}, {"Sequence": {"id": "A"}}.
void HfTokenizer::read_template(const Json& json, const std::string& source) {
  if (json.is_null()) return;
  const Config config(json, source + ": post_processor");
  const std::string type = config.text("type");
  if (type == "Sequence") {
    for (const Json& part : config.at("processors")) read_template(part, source);
    return;
  }
  if (type == "ByteLevel") return;  // about offsets only
  if (type != "TemplateProcessing") config.fail("type", "unsupported post-processor \"" + type + "\"");
  bool text_seen = false;
  for (const Json& part : config.at("single")) {
    const Json& token = member(part, "SpecialToken");
    if (token.is_null()) {
      text_seen = true;
      continue;
    }
    const std::string name = Config(token, config.source() + ": single").text("id");
    const Json& entry = member(config.at("special_tokens"), name.c_str());
    if (!entry.is_object()) config.fail("special_tokens", "no entry for \"" + name + "\"");
    for (const int64_t id : Config(entry, config.source() + ": special_tokens").integers("ids")) {
      if (id < 0 || id >= vocabulary_size_)
        config.fail("special_tokens", "\"" + name + "\": id " + std::to_string(id) + " is outside the vocabulary");
      (text_seen ? template_.suffix : template_.prefix).push_back(static_cast<int32_t>(id));
    }
  }
}

int32_t HfTokenizer::id_of(std::string_view piece) const {
  if (const int32_t id = model_.id_of(piece); id >= 0) return id;
  const auto added = added_ids_.find(std::string(piece));
  return added == added_ids_.end() ? -1 : added->second;
}

std::vector<int32_t> HfTokenizer::encode_without_template(std::string_view bytes) const {
  std::vector<int32_t> ids;
  const std::string text = valid_utf8(bytes);
  for (const auto& piece : raw_tokens_->split(text)) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
    } else {
      encode_normalized(normalizer_.apply(std::string_view(text).substr(piece.begin, piece.end - piece.begin)), piece.begin == 0, ids);
    }
  }
  return ids;
}

void HfTokenizer::encode_normalized(std::string_view text, bool at_start, std::vector<int32_t>& ids) const {
  for (const auto& piece : normalized_tokens_->split(text)) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
      continue;
    }
    std::string stretch(text.substr(piece.begin, piece.end - piece.begin));
    for (const std::string& word : pre_tokenizer_.split(std::move(stretch), at_start && piece.begin == 0)) model_.tokenize(word, ids);
  }
}

std::string HfTokenizer::token_bytes(int32_t id) const {
  if (const auto added = added_.find(id); added != added_.end()) return added->second.special ? "" : added->second.content;
  return decoder_.bytes_of(std::string(model_.piece(id)));
}

std::string HfTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::vector<std::string> pieces;
  for (const int32_t id : ids) {
    const auto added = added_.find(id);
    if (added != added_.end()) {
      if (!(skip_special && added->second.special)) pieces.push_back(added->second.content);
    } else if (const std::string_view piece = model_.piece(id); !piece.empty()) {
      pieces.emplace_back(piece);
    }
  }
  return decoder_.decode(std::move(pieces));
}

}  // namespace linea
