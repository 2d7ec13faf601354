#include "tokenizers/unicode/normal_forms.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <unordered_map>

#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

struct ClassRow {
  char32_t first, last;
  int combining_class;
};
struct Decomposition {
  char32_t code_point, first, second;  // second 0: one character only
  int composes;                        // whether the pair joins again in NFC
};

#include "tokenizers/unicode/normal_forms.inc"

// Hangul syllables are arithmetic: leading consonant, vowel, optional trailing consonant.
constexpr char32_t kSyllables = 0xac00, kLeads = 0x1100, kVowels = 0x1161, kTrails = 0x11a7;
constexpr char32_t kLeadCount = 19, kVowelCount = 21, kTrailCount = 28, kSyllableCount = kLeadCount * kVowelCount * kTrailCount;

// Below it every character is its own NFC and combines with nothing before it.
constexpr char32_t kFirstCombining = 0x300;

int combining_class(char32_t c) {
  const auto* after =
      std::upper_bound(std::begin(kClasses), std::end(kClasses), c, [](char32_t value, const ClassRow& row) { return value < row.first; });
  return after != std::begin(kClasses) && c <= std::prev(after)->last ? std::prev(after)->combining_class : 0;
}

void decompose(char32_t c, std::u32string& out) {
  if (c >= kSyllables && c < kSyllables + kSyllableCount) {
    const char32_t index = c - kSyllables;
    out.push_back(kLeads + index / (kVowelCount * kTrailCount));
    out.push_back(kVowels + index / kTrailCount % kVowelCount);
    if (index % kTrailCount) out.push_back(kTrails + index % kTrailCount);
    return;
  }
  const auto* row = std::lower_bound(std::begin(kDecompositions), std::end(kDecompositions), c,
                                     [](const Decomposition& d, char32_t value) { return d.code_point < value; });
  if (row == std::end(kDecompositions) || row->code_point != c) {
    out.push_back(c);
    return;
  }
  decompose(row->first, out);
  if (row->second) decompose(row->second, out);
}

// The composed character, or 0.
char32_t compose(char32_t a, char32_t b) {
  if (a >= kLeads && a < kLeads + kLeadCount && b >= kVowels && b < kVowels + kVowelCount)
    return kSyllables + ((a - kLeads) * kVowelCount + (b - kVowels)) * kTrailCount;
  if (a >= kSyllables && a < kSyllables + kSyllableCount && (a - kSyllables) % kTrailCount == 0 && b > kTrails && b < kTrails + kTrailCount)
    return a + (b - kTrails);
  static const std::unordered_map<uint64_t, char32_t> kPairs = [] {
    std::unordered_map<uint64_t, char32_t> pairs;
    for (const Decomposition& d : kDecompositions)
      if (d.composes) pairs[uint64_t{d.first} << 32 | d.second] = d.code_point;
    return pairs;
  }();
  const auto found = kPairs.find(uint64_t{a} << 32 | b);
  return found == kPairs.end() ? 0 : found->second;
}

std::u32string decomposed(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) decompose(next_code_point(text, i), out);
  // Marks in a row go in order of their class.
  for (size_t i = 0; i < out.size();) {
    if (combining_class(out[i]) == 0) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < out.size() && combining_class(out[end]) != 0) ++end;
    std::stable_sort(out.begin() + static_cast<ptrdiff_t>(i), out.begin() + static_cast<ptrdiff_t>(end),
                     [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    i = end;
  }
  return out;
}

std::string to_utf8(const std::u32string& text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t c : text) append_utf8(out, c);
  return out;
}

}  // namespace

std::string canonical_decomposition(std::string_view text) { return to_utf8(decomposed(text)); }

std::string canonical_composition(std::string_view text) {
  bool simple = true;
  for (size_t i = 0; simple && i < text.size();) simple = next_code_point(text, i) < kFirstCombining;
  if (simple) return std::string(text);

  const std::u32string parts = decomposed(text);
  std::u32string out;
  size_t starter = std::u32string::npos;  // where the last character of class 0 stands in `out`
  int last_class = -1;                    // of the character before, -1 right after the starter
  for (const char32_t c : parts) {
    const int own_class = combining_class(c);
    if (starter != std::u32string::npos && (last_class < own_class || last_class == -1)) {
      if (const char32_t joined = compose(out[starter], c)) {
        out[starter] = joined;
        continue;
      }
    }
    if (own_class == 0) starter = out.size();
    last_class = own_class == 0 ? -1 : own_class;
    out.push_back(c);
  }
  return to_utf8(out);
}

}  // namespace linea
