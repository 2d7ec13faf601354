#include "tokenizers/decoder.h"

#include <charconv>

#include "core/text.h"
#include "tokenizers/byte_level.h"
#include "tokenizers/normalizer.h"
#include "tokenizers/pre_tokenizer.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

// The byte that a piece such as "<0x0A>" stands for, or -1.
int byte_of(const std::string& piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  int value = -1;
  const auto [end, error] = std::from_chars(piece.data() + 3, piece.data() + 5, value, 16);
  return error == std::errc() && end == piece.data() + 5 ? value : -1;
}

// Runs of byte pieces become text when they are valid together, else one U+FFFD a byte.
std::vector<std::string> join_bytes(std::vector<std::string>& pieces) {
  std::vector<std::string> result;
  std::string bytes;
  const auto flush = [&] {
    if (bytes.empty()) return;
    if (is_utf8(bytes)) {
      result.push_back(bytes);
    } else {
      result.insert(result.end(), bytes.size(), "\uFFFD");
    }
    bytes.clear();
  };
  for (std::string& piece : pieces) {
    if (const int byte = byte_of(piece); byte >= 0) {
      bytes.push_back(static_cast<char>(byte));
      continue;
    }
    flush();
    result.push_back(std::move(piece));
  }
  flush();
  return result;
}

std::string join(const std::vector<std::string>& pieces, const std::string& separator) {
  std::string text;
  for (size_t i = 0; i < pieces.size(); ++i) text.append(i ? separator : "").append(pieces[i]);
  return text;
}

void strip(std::string& piece, const std::string& content, int64_t left, int64_t right) {
  for (; left > 0 && piece.starts_with(content); --left) piece.erase(0, content.size());
  for (; right > 0 && piece.ends_with(content); --right) piece.resize(piece.size() - content.size());
}

}  // namespace

Decoder::Decoder(const Json& json, const std::string& source) : separator_(json.is_null() ? " " : "") { add(json, source); }

void Decoder::add(const Json& json, const std::string& source) {
  if (json.is_null()) return;
  const Config config(json, source + ": decoder");
  const std::string type = config.text("type");
  if (type == "Sequence") {
    for (const Json& part : config.at("decoders")) add(part, source);
  } else if (type == "ByteLevel") {
    steps_.push_back({.kind = Kind::kByteLevel});
  } else if (type == "Replace") {
    steps_.push_back({.kind = Kind::kReplace, .pattern = literal_pattern(config, "pattern"), .content = config.text("content")});
  } else if (type == "ByteFallback") {
    steps_.push_back({.kind = Kind::kByteFallback});
  } else if (type == "Fuse") {
    steps_.push_back({.kind = Kind::kFuse});
  } else if (type == "Strip") {
    const std::string content = config.text("content");
    if (content.empty()) config.fail("content", "expected a character, found none");
    constexpr int64_t kMost = 1 << 20;
    steps_.push_back({.kind = Kind::kStrip,
                      .pattern = content,
                      .left = config.integer("start", 0, kMost, 0),
                      .right = config.integer("stop", 0, kMost, 0)});
  } else if (type == "Metaspace") {
    steps_.push_back({.kind = Kind::kMetaspace,
                      .pattern = config.text("replacement"),
                      .content = " ",
                      .drop_first_blank = metaspace_scheme(config) != "never"});
  } else {
    config.fail("type", "unsupported decoder \"" + type + "\"");
  }
}

void Decoder::apply(const Step& step, std::vector<std::string>& pieces) {
  switch (step.kind) {
    case Kind::kByteLevel: {
      std::string bytes;
      for (const std::string& piece : pieces) bytes += from_byte_level(piece);
      pieces = {valid_utf8(bytes)};
      break;
    }
    case Kind::kReplace:
      for (std::string& piece : pieces) piece = replace_all(piece, step.pattern, step.content);
      break;
    case Kind::kByteFallback: pieces = join_bytes(pieces); break;
    case Kind::kFuse: pieces = {join(pieces, "")}; break;
    case Kind::kStrip:
      for (std::string& piece : pieces) strip(piece, step.pattern, step.left, step.right);
      break;
    case Kind::kMetaspace:
      for (size_t i = 0; i < pieces.size(); ++i) {
        if (i == 0 && step.drop_first_blank) strip(pieces[i], step.pattern, 1, 0);
        pieces[i] = replace_all(pieces[i], step.pattern, step.content);
      }
      break;
  }
}

std::string Decoder::bytes_of(std::string piece) const {
  for (const Step& step : steps_) {
    switch (step.kind) {
      case Kind::kByteLevel: return from_byte_level(piece);
      case Kind::kReplace:
      case Kind::kMetaspace: piece = replace_all(piece, step.pattern, step.content); break;
      case Kind::kByteFallback:
        if (const int byte = byte_of(piece); byte >= 0) return std::string(1, static_cast<char>(byte));
        break;
      case Kind::kFuse:  // both are about whole texts
      case Kind::kStrip: break;
    }
  }
  return piece;
}

std::string Decoder::decode(std::vector<std::string> pieces) const {
  for (const Step& step : steps_) apply(step, pieces);
  return join(pieces, separator_);
}

}  // namespace linea
