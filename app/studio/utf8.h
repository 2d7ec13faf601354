// app/studio/utf8.h: walking over UTF-8 text by characters. Malformed bytes count as one character each (U+FFFD).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace linea::studio {

// The character at byte `at`, which moves behind it. `at` must be inside the text.
unsigned int decode_utf8(std::string_view text, size_t& at);
void append_utf8(std::string& text, unsigned int character);

size_t next_character(std::string_view text, size_t at);      // byte after the character at `at`; the end at the end
size_t previous_character(std::string_view text, size_t at);  // byte where the character before `at` starts; 0 at the start

}  // namespace linea::studio
