// app/studio/text_layout.h: lines of a text wrapped at a width, and the way between bytes and points on the screen.
#pragma once

#include <string_view>
#include <vector>

#include "app/studio/fonts.h"

namespace linea::studio {

struct TextLine {
  size_t start = 0, end = 0;  // bytes; the line break or the space that was wrapped at is not drawn but belongs to the line
  bool hard = false;          // ends in a line break
};

// Never empty: a text that is empty or ends in a line break has an empty last line. width <= 0: only breaks in the text count.
std::vector<TextLine> wrap_text(const Style& style, std::string_view text, float width);

// The line that shows byte `at`; a position at a soft break belongs to the line after it.
size_t line_of(const std::vector<TextLine>& lines, size_t at);
float x_of(const Style& style, std::string_view text, const TextLine& line, size_t at);    // pixels from the line's start
size_t byte_at(const Style& style, std::string_view text, const TextLine& line, float x);  // nearest edge of a character

}  // namespace linea::studio
