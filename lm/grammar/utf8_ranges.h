// lm/grammar/utf8_ranges.h: ranges of characters as ranges of bytes.
#pragma once

#include <cstdint>
#include <vector>

namespace linea {

struct CharacterRange {
  char32_t first, last;
};
struct ByteRange {
  uint8_t first, last;
};

// Sorted, without overlaps, without surrogates and what is beyond U+10FFFF; the complement when `inverted`.
std::vector<CharacterRange> normalized(std::vector<CharacterRange> ranges, bool inverted);

// Sequences of byte ranges that together match exactly the UTF-8 of the characters of a range.
std::vector<std::vector<ByteRange>> utf8_sequences(CharacterRange range);

}  // namespace linea
