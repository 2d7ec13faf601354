#include "app/engine/name_pattern.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "app/engine/output_names.h"
#include "core/text.h"

namespace linea {
namespace {

enum class FieldKind { kNumber, kText };
struct Field {
  const char* name;
  FieldKind kind;
};
constexpr std::array<Field, 11> kFields = {{{"index", FieldKind::kNumber},
                                            {"n", FieldKind::kNumber},
                                            {"count", FieldKind::kNumber},
                                            {"id", FieldKind::kText},
                                            {"seed", FieldKind::kNumber},
                                            {"slug", FieldKind::kText},
                                            {"width", FieldKind::kNumber},
                                            {"height", FieldKind::kNumber},
                                            {"steps", FieldKind::kNumber},
                                            {"guidance", FieldKind::kText},
                                            {"model", FieldKind::kText}}};
constexpr size_t kMostWidth = 200;

[[noreturn]] void refuse(std::string_view text, size_t at, const std::string& why) {
  throw Error(ErrorKind::kUsage, "name pattern '" + printable(text) + "', column " + std::to_string(at + 1) + ": " + why,
              "for example {index:06}_{seed}_{slug:40}.png");
}

// Letters, digits, dots, dashes and underscores as they are; what lies between becomes one dash.
std::string safe(std::string_view text, size_t limit) {
  std::string name;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (plain && !(c == '.' && name.empty())) {
      name += c;
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
    if (name.size() >= limit) break;
  }
  return name.empty() ? "x" : name;
}

std::string short_number(double value) {
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  return {digits.data(), end};
}

std::string value_of(const std::string& field, const PictureJob& job, int picture, size_t limit) {
  const PictureRequest& r = job.settings.request;
  if (field == "index") return std::to_string(job.index);
  if (field == "n") return std::to_string(picture + 1);
  if (field == "count") return std::to_string(job.count);
  if (field == "id") return safe(job.id, limit);
  if (field == "seed") return std::to_string(r.seed + static_cast<uint64_t>(picture));
  if (field == "slug") return slug_of(r.prompt, limit);
  if (field == "width") return std::to_string(r.size.width);
  if (field == "height") return std::to_string(r.size.height);
  if (field == "steps") return std::to_string(r.steps);
  if (field == "guidance") return safe(short_number(r.guidance), limit);
  return safe(job.settings.model.empty() ? "sana-mini" : std::filesystem::path(job.settings.model).filename().string(), limit);
}

}  // namespace

NamePattern::NamePattern(std::string_view text) : text_(text) {
  std::string literal;
  const auto end_literal = [&] {
    if (!literal.empty()) pieces_.push_back({.literal = literal});
    literal.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c) {
      literal += c;
      ++i;
    } else if (c == '}') {
      refuse(text, i, "'}' without '{'; write }} for a brace");
    } else if (c != '{') {
      if (static_cast<unsigned char>(c) < 0x20) refuse(text, i, "a control character");
      literal += c;
    } else {
      end_literal();
      const size_t close = text.find('}', i);
      if (close == std::string_view::npos) refuse(text, i, "'{' without '}'");
      const std::string_view inside = text.substr(i + 1, close - i - 1);
      const std::string_view name = inside.substr(0, inside.find(':'));
      const auto field = std::find_if(kFields.begin(), kFields.end(), [&](const Field& f) { return name == f.name; });
      if (field == kFields.end()) {
        refuse(text, i,
               "unknown field '" + printable(name) + "'; there are index, n, count, id, seed, slug, width, height, steps, guidance, model");
      }
      Piece piece{.field = std::string(name), .number = field->kind == FieldKind::kNumber};
      if (name.size() < inside.size()) {
        const std::string_view width = inside.substr(name.size() + 1);
        const auto [end, error] = std::from_chars(width.data(), width.data() + width.size(), piece.width);
        if (error != std::errc() || end != width.data() + width.size() || piece.width < 1 || piece.width > kMostWidth) {
          refuse(text, i, "'" + printable(width) + "' is not a width from 1 to " + std::to_string(kMostWidth));
        }
      }
      pieces_.push_back(piece);
      i = close;
    }
  }
  end_literal();
  if (text.empty() || text.back() == '/') refuse(text, text.size(), "no file name");
  if (text.front() == '/') refuse(text, 0, "names lie below the output folder; an absolute path cannot");
  image_format_of(std::filesystem::path(text_));
  for (const std::filesystem::path& part : std::filesystem::path(text_)) {
    if (part == "..") refuse(text, 0, "'..' would lead out of the output folder");
  }
}

std::string NamePattern::expand(const PictureJob& job, int picture) const {
  constexpr size_t kTextLimit = 100;
  std::string name;
  for (const Piece& piece : pieces_) {
    if (piece.field.empty()) {
      name += piece.literal;
      continue;
    }
    const std::string value = value_of(piece.field, job, picture, piece.width > 0 ? piece.width : kTextLimit);
    if (piece.number && value.size() < piece.width) name += std::string(piece.width - value.size(), '0');
    name += value;
  }
  return name;
}

bool NamePattern::uses(std::string_view field) const {
  return std::any_of(pieces_.begin(), pieces_.end(), [&](const Piece& piece) { return piece.field == field; });
}

}  // namespace linea
