#include "lm/session/text_stream.h"

#include <algorithm>
#include <utility>

#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

// The length that a character's first byte announces; 0 for a byte that begins none.
size_t announced_length(unsigned char first) {
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

// Overlong forms, surrogates and what is beyond U+10FFFF show in the second byte.
bool second_fits(unsigned char first, unsigned char second) {
  const unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80, high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  return second >= low && second <= high;
}

}  // namespace

size_t incomplete_utf8(std::string_view text) {
  for (size_t length = 1; length <= std::min<size_t>(3, text.size()); ++length) {
    const auto first = static_cast<unsigned char>(text[text.size() - length]);
    if ((first & 0xc0) == 0x80) continue;
    if (announced_length(first) <= length) return 0;
    return length == 1 || second_fits(first, static_cast<unsigned char>(text[text.size() - length + 1])) ? length : 0;
  }
  return 0;
}

TextStream::TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) { std::erase(stops_, ""); }

size_t TextStream::waiting() const {
  size_t longest = 0;
  const std::string_view text = pending_;
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, text.size()); length > longest; --length) {
      if (text.ends_with(std::string_view(stop).substr(0, length))) longest = length;
    }
  }
  return longest;
}

std::string TextStream::push(std::string_view bytes) {
  if (stopped_) return {};
  pending_ += bytes;
  size_t first = std::string::npos, end = std::string::npos;  // of the stop that was complete first, which no division of the text changes
  for (const std::string& stop : stops_) {
    const size_t at = pending_.find(stop);
    if (at == std::string::npos || std::pair(at + stop.size(), at) >= std::pair(end, first)) continue;
    first = at;
    end = at + stop.size();
  }
  if (first != std::string::npos) {
    stopped_ = true;
    const std::string text = valid_utf8(std::string_view(pending_).substr(0, first));
    pending_.clear();
    return text;
  }
  size_t certain = pending_.size() - waiting();
  certain -= incomplete_utf8(std::string_view(pending_).substr(0, certain));
  const std::string text = valid_utf8(std::string_view(pending_).substr(0, certain));
  pending_.erase(0, certain);
  return text;
}

std::string TextStream::finish() {
  const std::string text = valid_utf8(pending_);
  pending_.clear();
  return text;
}

}  // namespace linea
