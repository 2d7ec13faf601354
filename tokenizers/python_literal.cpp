#include "tokenizers/python_literal.h"

#include <charconv>
#include <cstdint>

namespace linea {
namespace {

void append_utf8(uint32_t code, std::string& out) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((code >> shift) & 0x3f)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | (code >> 12));
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xf0 | (code >> 18));
    tail(12), tail(6), tail(0);
  }
}

bool is_scalar_value(uint32_t code) { return code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff); }

// The escape whose letter stands at text[at], its value appended; the position after it, or npos when it is none.
size_t append_escape(std::string_view text, size_t at, bool is_bytes, std::string& out) {
  constexpr std::string_view kLetters = "\\'\"abfnrtv0", kValues = "\\'\"\a\b\f\n\r\t\v";
  const char letter = text[at];
  if (const size_t simple = kLetters.find(letter); simple != std::string_view::npos) {
    out += simple < kValues.size() ? kValues[simple] : '\0';
    return at + 1;
  }
  const size_t digits = letter == 'x' ? 2 : letter == 'u' && !is_bytes ? 4 : letter == 'U' && !is_bytes ? 8 : 0;
  if (digits == 0 || at + digits >= text.size()) return std::string_view::npos;
  uint32_t code = 0;
  const char *begin = text.data() + at + 1, *end = begin + digits;
  if (const auto [stop, error] = std::from_chars(begin, end, code, 16); error != std::errc() || stop != end) return std::string_view::npos;
  if (is_bytes) {
    out += static_cast<char>(code);
  } else if (is_scalar_value(code)) {
    append_utf8(code, out);
  } else {
    return std::string_view::npos;
  }
  return at + 1 + digits;
}

}  // namespace

std::optional<std::string> parse_python_literal(std::string_view literal) {
  const bool is_bytes = literal.starts_with('b');
  if (is_bytes) literal.remove_prefix(1);
  if (literal.size() < 2 || (literal.front() != '\'' && literal.front() != '"') || literal.back() != literal.front()) return std::nullopt;
  const char quote = literal.front();
  const std::string_view text = literal.substr(1, literal.size() - 2);
  std::string bytes;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == quote || (is_bytes && static_cast<unsigned char>(text[i]) >= 0x80)) return std::nullopt;
    if (text[i] != '\\') {
      bytes += text[i++];
    } else if (i + 1 == text.size() || (i = append_escape(text, i + 1, is_bytes, bytes)) == std::string_view::npos) {
      return std::nullopt;
    }
  }
  return bytes;
}

}  // namespace linea
