#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

unsigned char byte_at(std::string_view text, size_t i) { return static_cast<unsigned char>(text[i]); }
bool is_continuation(unsigned char byte) { return (byte & 0xc0) == 0x80; }

// Length of the valid character at `i`, or minus the length of the maximal invalid part there (Unicode 3.9, table 3-7).
int measure(std::string_view text, size_t i) {
  const unsigned char lead = byte_at(text, i);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return -1;
  const int length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // The second byte's range keeps out overlong forms, surrogates and what lies above U+10FFFF.
  const unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  for (int k = 1; k < length; ++k) {
    if (i + static_cast<size_t>(k) >= text.size()) return -k;
    const unsigned char byte = byte_at(text, i + static_cast<size_t>(k));
    if (k == 1 ? (byte < low || byte > high) : !is_continuation(byte)) return -k;
  }
  return length;
}

}  // namespace

std::string valid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t i = 0; i < bytes.size();) {
    const int length = measure(bytes, i);
    const auto step = static_cast<size_t>(length > 0 ? length : -length);
    if (length > 0) {
      out.append(bytes.substr(i, step));
    } else {
      append_utf8(out, 0xfffd);
    }
    i += step;
  }
  return out;
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | (c >> 6));
    put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3f));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  }
}

char32_t next_code_point(std::string_view text, size_t& position) {
  const unsigned char lead = byte_at(text, position);
  const size_t length = utf8_length(text[position]);
  char32_t c = length == 1 ? lead : lead & (0x7fu >> length);
  for (size_t k = 1; k < length; ++k) c = (c << 6) | (byte_at(text, position + k) & 0x3fu);
  position += length;
  return c;
}

char32_t previous_code_point(std::string_view text, size_t& position) {
  do {
    --position;
  } while (position > 0 && is_continuation(byte_at(text, position)));
  size_t start = position;
  return next_code_point(text, start);
}

}  // namespace linea
