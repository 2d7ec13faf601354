#include "lm/grammar/schema_pattern.h"

#include <vector>

#include "core/error.h"
#include "core/text.h"
#include "lm/grammar/gbnf_text.h"
#include "lm/grammar/utf8_ranges.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

using Ranges = std::vector<CharacterRange>;

constexpr int kMaxDepth = 50;

const Ranges kDigits = {{'0', '9'}};
const Ranges kWord = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const Ranges kSpace = {{'\t', '\r'},     {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
                       {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};

std::string class_member(char32_t c) {
  char text[16];
  std::snprintf(text, sizeof text, "\\U%08X", static_cast<unsigned>(c));
  return text;
}

// Characters as they stand in a JSON string: quote, backslash and what is below a space are escaped.
std::string json_characters(const Ranges& ranges) {
  std::vector<std::string> alternatives;
  std::string plain;
  const auto add_plain = [&](char32_t first, char32_t last) {
    if (first <= last) plain += class_member(first) + "-" + class_member(last);
  };
  for (const CharacterRange& range : ranges) {
    char32_t next = range.first;
    for (char32_t c = range.first; c <= range.last && c <= '\\'; ++c) {
      if (c >= 0x20 && c != '"' && c != '\\') continue;
      add_plain(next, c == 0 ? 0 : c - 1);
      if (c == 0) plain.clear();
      next = c + 1;
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      const std::string text = c == '"' ? "\\\"" : c == '\\' ? "\\\\" : c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : escape;
      alternatives.push_back(gbnf_literal(text));
    }
    add_plain(next, range.last);
  }
  if (!plain.empty()) alternatives.insert(alternatives.begin(), "[" + plain + "]");
  return gbnf_any_of(alternatives);
}

class PatternParser {
 public:
  PatternParser(std::string_view text, std::string where) : text_(text), where_(std::move(where)) {}

  std::string parse() {
    if (!is_utf8(text_)) fail("is not UTF-8");
    const bool from_start = take("^");
    bool to_end = false;
    std::string body = parse_alternatives(0, to_end);
    if (at_ < text_.size()) fail("unexpected '" + printable(text_.substr(at_, 1)) + "'");
    // With | at the top level ^ and $ would belong to one alternative only.
    if ((from_start || to_end) && top_level_choice_) fail("^ and $ beside | need a group: ^(a|b)$");
    const std::string anything = "(" + json_characters(normalized({}, true)) + ")*";
    if (!from_start) body = anything + " " + body;
    if (!to_end) body += " " + anything;
    return body;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorKind::kUsage, where_ + ": pattern: " + what); }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(std::string_view expected) {
    if (!text_.substr(at_).starts_with(expected)) return false;
    at_ += expected.size();
    return true;
  }

  std::string parse_alternatives(int depth, bool& to_end) {
    if (depth > kMaxDepth) fail("groups are nested too deeply");
    std::string text = "(";
    for (;;) {
      if (at_ >= text_.size() || peek() == ')') return (text == "(" || text.ends_with("| ") ? text + "\"\"" : text) + ")";
      if (take("|")) {
        if (depth == 0) top_level_choice_ = true;
        text += (text == "(" || text.ends_with("| ") ? "\"\"" : "") + std::string(" | ");
      } else if (take("$")) {
        if (depth > 0 || at_ < text_.size()) fail("$ is supported at the end only");
        to_end = true;
      } else {
        text += parse_repeated(depth) + " ";
      }
    }
  }

  std::string parse_repeated(int depth) {
    std::string item = parse_item(depth);
    for (;;) {
      if (peek() == '*' || peek() == '+' || peek() == '?') {
        item = "(" + item + ")" + text_[at_++];
      } else if (peek() == '{') {
        const size_t close = text_.find('}', at_);
        if (close == std::string_view::npos) fail("{ is not closed");
        const std::string counts(text_.substr(at_, close - at_ + 1));
        if (counts.find_first_not_of("{},0123456789") != std::string::npos || counts.starts_with("{,") || counts == "{}") {
          fail("unsupported repetition " + printable(counts, 40));
        }
        item = "(" + item + ")" + counts;
        at_ = close + 1;
      } else {
        return item;
      }
      take("?");  // lazy: the same texts
    }
  }

  std::string parse_item(int depth) {
    if (take("(")) {
      if (take("?") && !take(":")) fail("look-around and named groups are not supported");
      bool to_end = false;
      std::string group = parse_alternatives(depth + 1, to_end);
      if (!take(")")) fail("( is not closed");
      return group;
    }
    if (take("[")) return parse_class();
    if (take(".")) return json_characters(normalized({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}, true));
    if (peek() == '\\') return json_characters(parse_escape());
    if (std::string_view("*+?{}^").find(peek()) != std::string_view::npos) fail("unexpected '" + std::string(1, peek()) + "'");
    const char32_t c = next_code_point(text_, at_);
    return json_characters({{c, c}});
  }

  Ranges parse_escape() {
    ++at_;
    if (at_ >= text_.size()) fail("ends in a backslash");
    const char32_t c = next_code_point(text_, at_);
    switch (c) {
      case 'd': return kDigits;
      case 'D': return normalized(kDigits, true);
      case 'w': return kWord;
      case 'W': return normalized(kWord, true);
      case 's': return kSpace;
      case 'S': return normalized(kSpace, true);
      case 'n': return {{'\n', '\n'}};
      case 'r': return {{'\r', '\r'}};
      case 't': return {{'\t', '\t'}};
      case 'f': return {{'\f', '\f'}};
      case 'v': return {{'\v', '\v'}};
      case 'x': return parse_hex(2);
      case 'u': return parse_hex(4);
      default:
        if (c < 0x80 && (std::isalnum(static_cast<int>(c)) != 0)) fail(std::string("unsupported escape \\") + static_cast<char>(c));
        return {{c, c}};
    }
  }

  Ranges parse_hex(size_t digits) {
    char32_t value = 0;
    for (size_t i = 0; i < digits; ++i, ++at_) {
      const char c = peek();
      const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
      if (digit < 0) fail("expected " + std::to_string(digits) + " hexadecimal digits after a backslash");
      value = value * 16 + static_cast<char32_t>(digit);
    }
    if (value >= 0xd800 && value <= 0xdfff) fail("surrogates are not supported");
    return {{value, value}};
  }

  std::string parse_class() {
    const bool inverted = take("^");
    Ranges ranges;
    while (!take("]")) {
      if (at_ >= text_.size()) fail("[ is not closed");
      const Ranges first = parse_class_member();
      const bool is_range = peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']';
      if (!is_range || first.size() != 1 || first[0].first != first[0].last) {
        ranges.insert(ranges.end(), first.begin(), first.end());
        continue;
      }
      ++at_;
      const Ranges last = parse_class_member();
      if (last.size() != 1 || last[0].first != last[0].last || last[0].first < first[0].first) fail("a range of a class is not in order");
      ranges.push_back({first[0].first, last[0].first});
    }
    ranges = normalized(std::move(ranges), inverted);
    if (ranges.empty()) fail("a class is empty");
    return json_characters(ranges);
  }

  Ranges parse_class_member() {
    if (peek() == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] == 'b') {
      at_ += 2;
      return {{'\b', '\b'}};
    }
    if (peek() == '\\') return parse_escape();
    const char32_t c = next_code_point(text_, at_);
    return {{c, c}};
  }

  std::string_view text_;
  std::string where_;
  size_t at_ = 0;
  bool top_level_choice_ = false;
};

}  // namespace

std::string pattern_to_gbnf(std::string_view pattern, const std::string& where) { return PatternParser(pattern, where).parse(); }

}  // namespace linea
