// tokenizers/byte_level.h: the printable characters that stand for bytes in GPT-2's vocabularies and their descendants'.
#pragma once

#include <string>
#include <string_view>

namespace linea {

// Each byte by its character: printable ones of Latin-1 stand for themselves, the other 68 for U+0100 and up, so a blank is "Ġ".
std::string to_byte_level(std::string_view bytes);
// Back again. A piece with a character that stands for no byte is taken as it is.
std::string from_byte_level(std::string_view piece);

}  // namespace linea
