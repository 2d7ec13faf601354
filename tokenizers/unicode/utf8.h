// tokenizers/unicode/utf8.h: UTF-8 in and out.
//
// Text enters through valid_utf8 once; everything after it may assume valid UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace linea {

// The text with every maximal invalid part replaced by U+FFFD, as Python's bytes.decode("utf-8", "replace") and the WHATWG decoder do.
std::string valid_utf8(std::string_view bytes);

void append_utf8(std::string& out, char32_t code_point);

// Bytes of the character that starts with this byte (of valid UTF-8).
inline size_t utf8_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

// The character at `position` of valid UTF-8; moves `position` past it.
char32_t next_code_point(std::string_view text, size_t& position);
// The character that ends at `position` (> 0); moves `position` to its start.
char32_t previous_code_point(std::string_view text, size_t& position);

}  // namespace linea
