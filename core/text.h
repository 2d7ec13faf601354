// core/text.h: small helpers for text that came from outside.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace linea {

// For error lines: control characters, those that turn the direction of text and bytes that are not UTF-8 become \xNN, and what is longer
// than `limit` bytes ends in "…".
std::string printable(std::string_view text, size_t limit = 160);

// The same for whole texts of strangers: newlines and tabs stay, and nothing is cut.
std::string for_terminal(std::string_view text);

bool is_utf8(std::string_view text);               // well-formed: no overlong forms, no surrogates, at most U+10FFFF
std::string to_valid_utf8(std::string_view text);  // each malformed byte becomes U+FFFD

std::optional<std::string> utf8_to_latin1(std::string_view text);  // nothing when malformed or beyond U+00FF
std::string latin1_to_utf8(std::string_view text);

}  // namespace linea
