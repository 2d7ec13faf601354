#include "app/studio/text_layout.h"

#include "app/studio/utf8.h"

namespace linea::studio {
namespace {

// Scripts without spaces may break before any character.
bool breaks_anywhere(unsigned int c) { return c >= 0x2E80 && c != 0xFFFD; }

}  // namespace

std::vector<TextLine> wrap_text(const Style& style, std::string_view text, float width) {
  std::vector<TextLine> lines;
  size_t start = 0, last_break = 0;
  float x = 0, after_break = 0;  // after_break: width since last_break
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    const unsigned int c = decode_utf8(text, at);
    if (c == '\n') {
      lines.push_back({start, here, true});
      start = last_break = at;
      x = after_break = 0;
      continue;
    }
    const float step = c == '\t' ? 4 * advance(style, ' ') : advance(style, c);
    if (breaks_anywhere(c)) last_break = here, after_break = 0;
    if (width > 0 && x + step > width && here > start && c != ' ') {
      const size_t cut = last_break > start ? last_break : here;
      lines.push_back({start, cut, false});
      x = cut == here ? 0 : after_break;
      start = last_break = cut;
      after_break = x;
    }
    x += step;
    after_break += step;
    if (c == ' ' || c == '\t' || c == '-') last_break = at, after_break = 0;
  }
  lines.push_back({start, text.size(), false});
  return lines;
}

size_t line_of(const std::vector<TextLine>& lines, size_t at) {
  size_t line = 0;
  while (line + 1 < lines.size() && lines[line + 1].start <= at) ++line;
  return line;
}

float x_of(const Style& style, std::string_view text, const TextLine& line, size_t at) {
  float x = 0;
  for (size_t i = line.start; i < line.end && i < at;) {
    const unsigned int c = decode_utf8(text, i);
    x += c == '\t' ? 4 * advance(style, ' ') : advance(style, c);
  }
  return x;
}

size_t byte_at(const Style& style, std::string_view text, const TextLine& line, float x) {
  float left = 0;
  for (size_t i = line.start; i < line.end;) {
    const size_t here = i;
    const unsigned int c = decode_utf8(text, i);
    const float step = c == '\t' ? 4 * advance(style, ' ') : advance(style, c);
    // A soft break belongs to the next line: the last position of this one is before its last character.
    if (x < left + step / 2) return here;
    left += step;
  }
  return line.end;
}

}  // namespace linea::studio
