#include "core/text.h"

#include <algorithm>
#include <cstdint>

namespace linea {
namespace {

// Bytes of the well-formed UTF-8 sequence at the start of `text`; 0 when there is none.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const uint8_t second = byte(1);  // excludes overlong forms, surrogates and what lies beyond U+10FFFF
  if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f)) return 0;
  if ((lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) return 0;
  return length;
}

// Characters that act on a terminal or turn the direction of text instead of being seen.
bool is_seen(std::string_view sequence) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(sequence[i]); };
  if (sequence.size() == 1) return byte(0) >= 0x20 && byte(0) != 0x7f;
  if (sequence.size() == 2) return byte(0) != 0xc2 || byte(1) >= 0xa0;                                   // U+0080 to U+009F
  if (sequence.size() != 3 || byte(0) != 0xe2) return true;                                              // U+2000 to U+2FFF
  if (byte(1) == 0x80) return (byte(2) < 0x8e || byte(2) > 0x8f) && (byte(2) < 0xaa || byte(2) > 0xae);  // U+200E, 200F, 202A to 202E
  return byte(1) != 0x81 || byte(2) < 0xa6 || byte(2) > 0xa9;                                            // U+2066 to U+2069
}

void append_hex(std::string& to, std::string_view bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    to += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
  }
}

}  // namespace

std::string printable(std::string_view text, size_t limit) {
  std::string result;
  while (!text.empty()) {
    if (result.size() >= limit) return result + "…";
    const size_t length = sequence_length(text);
    const std::string_view sequence = text.substr(0, std::max<size_t>(length, 1));
    if (length > 0 && is_seen(sequence)) {
      result += sequence;
    } else {
      append_hex(result, sequence);
    }
    text.remove_prefix(sequence.size());
  }
  return result;
}

std::string for_terminal(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t end = text.find_first_of("\n\t");
    result += printable(text.substr(0, end), std::string_view::npos);
    if (end == std::string_view::npos) break;
    result += text[end];
    text.remove_prefix(end + 1);
  }
  return result;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string to_valid_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    result += length ? text.substr(0, length) : std::string_view("\xef\xbf\xbd");
    text.remove_prefix(length ? length : 1);
  }
  return result;
}

std::optional<std::string> utf8_to_latin1(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    const uint8_t first = static_cast<uint8_t>(text[0]);
    if (length == 1) {
      result += text[0];
    } else if (length == 2 && first <= 0xc3) {
      result += static_cast<char>((first & 3) << 6 | (text[1] & 0x3f));
    } else {
      return std::nullopt;
    }
    text.remove_prefix(length);
  }
  return result;
}

std::string latin1_to_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    const uint8_t code = static_cast<uint8_t>(c);
    if (code < 0x80) {
      result += c;
    } else {
      result += {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
    }
  }
  return result;
}

}  // namespace linea
