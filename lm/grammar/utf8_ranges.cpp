#include "lm/grammar/utf8_ranges.h"

#include <algorithm>
#include <array>
#include <string>

#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

constexpr char32_t kLast = 0x10ffff, kFirstSurrogate = 0xd800, kLastSurrogate = 0xdfff;

void add(std::vector<CharacterRange>& ranges, char32_t first, char32_t last) {
  if (first <= last) ranges.push_back({first, last});
}

// Both ends have UTF-8 of equal length and differ only so that the bytes below the first difference span everything.
bool is_box(const std::string& first, const std::string& last) {
  size_t i = 0;
  while (i < first.size() && first[i] == last[i]) ++i;
  for (++i; i < first.size(); ++i) {
    if (static_cast<uint8_t>(first[i]) != 0x80 || static_cast<uint8_t>(last[i]) != 0xbf) return false;
  }
  return true;
}

void split(CharacterRange range, std::vector<std::vector<ByteRange>>& sequences) {
  constexpr std::array<char32_t, 3> kLengthEnds = {0x7f, 0x7ff, 0xffff};
  for (const char32_t end : kLengthEnds) {
    if (range.first <= end && range.last > end) {
      split({range.first, end}, sequences);
      split({end + 1, range.last}, sequences);
      return;
    }
  }
  std::string first, last;
  append_utf8(first, range.first);
  append_utf8(last, range.last);
  if (is_box(first, last)) {
    std::vector<ByteRange>& sequence = sequences.emplace_back();
    for (size_t i = 0; i < first.size(); ++i) sequence.push_back({static_cast<uint8_t>(first[i]), static_cast<uint8_t>(last[i])});
    return;
  }
  // Cut where the lowest bytes begin anew: the largest block of 64, 4096, … characters in which both ends do not lie.
  for (int bits = 6; bits <= 18; bits += 6) {
    const char32_t mask = (char32_t{1} << bits) - 1;
    if ((range.first & ~mask) == (range.last & ~mask)) continue;
    if ((range.first & mask) != 0) {
      split({range.first, range.first | mask}, sequences);
      split({(range.first | mask) + 1, range.last}, sequences);
      return;
    }
    if ((range.last & mask) != mask) {
      split({range.first, (range.last & ~mask) - 1}, sequences);
      split({range.last & ~mask, range.last}, sequences);
      return;
    }
  }
}

}  // namespace

std::vector<CharacterRange> normalized(std::vector<CharacterRange> ranges, bool inverted) {
  std::sort(ranges.begin(), ranges.end(), [](const CharacterRange& a, const CharacterRange& b) { return a.first < b.first; });
  std::vector<CharacterRange> merged;
  for (const CharacterRange& r : ranges) {
    if (!merged.empty() && r.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, r.last);
    } else {
      merged.push_back(r);
    }
  }
  if (inverted) {
    std::vector<CharacterRange> gaps;
    char32_t next = 0;
    for (const CharacterRange& r : merged) {
      if (r.first > next) add(gaps, next, r.first - 1);
      next = std::max<char32_t>(next, r.last + 1);
    }
    add(gaps, next, kLast);
    merged = gaps;
  }
  std::vector<CharacterRange> valid;
  for (const CharacterRange& r : merged) {
    add(valid, r.first, std::min<char32_t>(r.last, kFirstSurrogate - 1));
    add(valid, std::max<char32_t>(r.first, kLastSurrogate + 1), std::min(r.last, kLast));
  }
  return valid;
}

std::vector<std::vector<ByteRange>> utf8_sequences(CharacterRange range) {
  std::vector<std::vector<ByteRange>> sequences;
  split(range, sequences);
  return sequences;
}

}  // namespace linea
