// tokenizers/unicode/case.h: the string methods of Python that prompts go through, and the character classes of added tokens.
//
// Tables: tables.inc, made by make_tables.py. All functions take valid UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace linea {

// str.lower(): full lower-casing, with İ → i̇ and the final form of sigma where it ends a word.
std::string python_lower(std::string_view text);
// str.strip(): without Python's white space (which has U+001C…U+001F, unlike Unicode's) at both ends.
std::string_view python_strip(std::string_view text);

char32_t lower_code_point(char32_t c);  // simple lower-casing of one character; İ gives i
bool is_unicode_space(char32_t c);      // White_Space, the \s of regular expressions
bool is_word_character(char32_t c);     // the \w of regular expressions

}  // namespace linea
