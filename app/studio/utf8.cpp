#include "app/studio/utf8.h"

namespace linea::studio {
namespace {

bool continues(std::string_view text, size_t at) { return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80; }

}  // namespace

unsigned int decode_utf8(std::string_view text, size_t& at) {
  constexpr unsigned int kReplacement = 0xFFFD;
  const unsigned char lead = static_cast<unsigned char>(text[at++]);
  if (lead < 0x80) return lead;
  const int more = lead >= 0xF0 && lead < 0xF5 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC2 ? 1 : 0;
  if (more == 0 || lead >= 0xF5) return kReplacement;
  unsigned int character = lead & (0x3Fu >> more);
  size_t end = at;
  for (int i = 0; i < more; ++i) {
    if (!continues(text, end)) return kReplacement;
    character = character << 6 | (static_cast<unsigned char>(text[end++]) & 0x3Fu);
  }
  at = end;
  return character;
}

void append_utf8(std::string& text, unsigned int c) {
  const auto byte = [&](unsigned int value) { text += static_cast<char>(value); };
  if (c < 0x80) {
    byte(c);
  } else if (c < 0x800) {
    byte(0xC0 | c >> 6), byte(0x80 | (c & 63));
  } else if (c < 0x10000) {
    byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 63)), byte(0x80 | (c & 63));
  } else {
    byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 63)), byte(0x80 | (c >> 6 & 63)), byte(0x80 | (c & 63));
  }
}

size_t next_character(std::string_view text, size_t at) {
  if (at >= text.size()) return text.size();
  decode_utf8(text, at);
  return at;
}

size_t previous_character(std::string_view text, size_t at) {
  if (at == 0) return 0;
  size_t start = at - 1;
  while (start > 0 && at - start < 4 && continues(text, start)) --start;
  size_t end = start;
  decode_utf8(text, end);
  return end == at ? start : at - 1;
}

}  // namespace linea::studio
