#include "core/metadata.h"

#include <algorithm>

#include "core/error.h"
#include "core/json.h"

namespace linea {
namespace {

constexpr size_t kMaxBytes = size_t{4} << 20;
constexpr size_t kFewestFields = 3;  // fewer, and the last line is taken for prompt
constexpr std::string_view kNegative = "Negative prompt:";
constexpr std::string_view kExactPrompt = "Exact prompt", kExactNegative = "Exact negative prompt";

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// \w, and any byte beyond ASCII, since letters of all languages count.
bool is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

bool is_key_character(char c) { return is_word(c) || c == ' ' || c == '-' || c == '/'; }

std::string_view strip(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string quote(const std::string& value) {
  const bool plain = value.find_first_of(",:\"\\") == std::string::npos && strip(value) == value && !value.empty() &&
                     std::none_of(value.begin(), value.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  return plain ? value : Json(value).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string unquote(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    const Json parsed = Json::parse(value, nullptr, /*allow_exceptions=*/false);
    if (parsed.is_string()) return parsed.get<std::string>();
  }
  return std::string(value);
}

// The fields of one line, found as A1111's regular expression finds them anywhere in it:
//   \s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)
// in a single pass: where it fails, no start within the same run of key characters can succeed.
class FieldScanner {
 public:
  explicit FieldScanner(std::string_view line) : line_(line) {}

  std::vector<std::pair<std::string, std::string>> scan() {
    std::vector<std::pair<std::string, std::string>> fields;
    size_t at = 0;
    while (at < line_.size()) {
      if (!is_word(line_[at])) {
        ++at;
        continue;
      }
      size_t end = at;
      while (end < line_.size() && is_key_character(line_[end])) ++end;
      const std::string_view key = line_.substr(at, end - at);
      at = end + 1;
      if (end == line_.size() || line_[end] != ':' || key.size() < 2) continue;
      while (at < line_.size() && is_space(line_[at])) ++at;
      // stable-diffusion.cpp appends bare JSON, whose commas are no ends of fields.
      if (key == "SDCPP" && at < line_.size() && line_[at] == '{') break;
      const size_t stop = value_end(at);
      fields.emplace_back(strip(key), unquote(strip(line_.substr(at, stop - at))));
      at = stop + 1;
    }
    return fields;
  }

 private:
  // Behind the closing quote of a JSON string when a comma or the end of the line follows it, else at the next comma.
  size_t value_end(size_t begin) const {
    if (begin < line_.size() && line_[begin] == '"') {
      size_t i = begin + 1;
      while (i < line_.size() && line_[i] != '"') i += line_[i] == '\\' ? 2 : 1;
      if (i < line_.size() && (i + 1 == line_.size() || line_[i + 1] == ',')) return i + 1;
    }
    return std::min(line_.find(',', begin), line_.size());
  }

  std::string_view line_;
};

void append_line(std::string& text, std::string_view line) {
  if (!text.empty()) text += '\n';
  text += line;
}

// Prompt and negative prompt from the lines before the fields.
void parse_prompts(std::string_view text, Infotext& result) {
  std::string* target = &result.prompt;
  for (bool more = true; more;) {
    const size_t end = text.find('\n');
    more = end != std::string_view::npos;
    std::string_view line = strip(text.substr(0, end));
    if (more) text.remove_prefix(end + 1);
    if (line.substr(0, kNegative.size()) == kNegative) {
      target = &result.negative;
      line = strip(line.substr(kNegative.size()));
    }
    append_line(*target, line);
  }
}

void take_exact(Infotext& infotext, std::string_view key, std::string& target) {
  const auto found = std::find_if(infotext.fields.begin(), infotext.fields.end(), [&](const auto& field) { return field.first == key; });
  if (found == infotext.fields.end()) return;
  target = found->second;
  infotext.fields.erase(found);
}

std::string format_plain(const Infotext& infotext) {
  std::string text = infotext.prompt;
  if (!infotext.negative.empty()) text += "\n" + std::string(kNegative) + " " + infotext.negative;
  text += '\n';
  for (size_t i = 0; i < infotext.fields.size(); ++i) {
    const auto& [key, value] = infotext.fields[i];
    text += (i ? ", " : "") + key + ": " + quote(value);
  }
  return std::string(strip(text));
}

}  // namespace

const std::string* Infotext::find(std::string_view key) const {
  const auto found = std::find_if(fields.begin(), fields.end(), [&](const auto& field) { return field.first == key; });
  return found == fields.end() ? nullptr : &found->second;
}

std::string format_infotext(const Infotext& infotext) {
  LINEA_ASSERT(infotext.fields.size() >= kFewestFields);
  for (const auto& [key, value] : infotext.fields) {
    LINEA_ASSERT(key.size() >= 2 && is_word(key.front()) && strip(key) == key && key != kExactPrompt && key != kExactNegative);
    LINEA_ASSERT(std::all_of(key.begin(), key.end(), is_key_character));
  }
  const std::string plain = format_plain(infotext);
  const Infotext parsed = parse_infotext(plain);
  Infotext exact = infotext;
  if (parsed.prompt != infotext.prompt) exact.fields.emplace_back(kExactPrompt, infotext.prompt);
  if (parsed.negative != infotext.negative) exact.fields.emplace_back(kExactNegative, infotext.negative);
  return exact.fields.size() == infotext.fields.size() ? plain : format_plain(exact);
}

Infotext parse_infotext(std::string_view text) {
  if (text.size() > kMaxBytes) {
    throw Error(ErrorKind::kBadFile,
                "image parameters: " + std::to_string(text.size()) + " bytes of text, at most " + std::to_string(kMaxBytes) + " are read");
  }
  text = strip(text);
  Infotext result;
  const size_t last = text.rfind('\n');
  const std::string_view last_line = last == std::string_view::npos ? text : text.substr(last + 1);
  result.fields = FieldScanner(last_line).scan();
  if (result.fields.size() < kFewestFields) {
    result.fields.clear();
    parse_prompts(text, result);
  } else if (last != std::string_view::npos) {
    parse_prompts(text.substr(0, last), result);
  }
  take_exact(result, kExactPrompt, result.prompt);
  take_exact(result, kExactNegative, result.negative);
  return result;
}

}  // namespace linea
