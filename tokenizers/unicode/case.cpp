#include "tokenizers/unicode/case.h"

#include <algorithm>
#include <iterator>

#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

struct Range {
  char32_t first, last;
};
struct LowerRow {
  char32_t first, last;
  int step, difference;
};

#include "tokenizers/unicode/tables.inc"

constexpr char32_t kCapitalSigma = 0x3a3, kSmallSigma = 0x3c3, kFinalSigma = 0x3c2, kCapitalIWithDot = 0x130, kCombiningDot = 0x307;

// The row that may hold c: the last one that starts at or before it.
template <class Row, size_t kRows> const Row* find_row(const Row (&rows)[kRows], char32_t c) {
  const Row* after =
      std::upper_bound(std::begin(rows), std::end(rows), c, [](char32_t value, const Row& row) { return value < row.first; });
  return after != std::begin(rows) && c <= std::prev(after)->last ? std::prev(after) : nullptr;
}

// A sigma that closes a word: a cased letter before it, none after it, ignoring marks and the like in between.
bool is_final_sigma(std::string_view text, size_t sigma_begin, size_t sigma_end) {
  bool cased_before = false;
  for (size_t i = sigma_begin; i > 0;) {
    const char32_t c = previous_code_point(text, i);
    if (find_row(kCaseIgnorable, c)) continue;
    cased_before = find_row(kCased, c) != nullptr;
    break;
  }
  if (!cased_before) return false;
  for (size_t i = sigma_end; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    if (!find_row(kCaseIgnorable, c)) return find_row(kCased, c) == nullptr;
  }
  return true;
}

bool is_python_space(char32_t c) { return is_unicode_space(c) || (c >= 0x1c && c <= 0x1f); }

}  // namespace

char32_t lower_code_point(char32_t c) {
  if (c == kCapitalIWithDot) return U'i';
  const LowerRow* row = find_row(kLower, c);
  if (!row || (c - row->first) % static_cast<char32_t>(row->step) != 0) return c;
  return static_cast<char32_t>(static_cast<int>(c) + row->difference);
}

std::string python_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = next_code_point(text, i);
    if (c == kCapitalSigma) {
      append_utf8(out, is_final_sigma(text, begin, i) ? kFinalSigma : kSmallSigma);
      continue;
    }
    append_utf8(out, lower_code_point(c));
    if (c == kCapitalIWithDot) append_utf8(out, kCombiningDot);
  }
  return out;
}

std::string_view python_strip(std::string_view text) {
  size_t begin = 0;
  for (size_t next = 0; next < text.size() && is_python_space(next_code_point(text, next));) begin = next;
  size_t end = text.size();
  for (size_t previous = end; previous > begin && is_python_space(previous_code_point(text, previous));) end = previous;
  return text.substr(begin, end - begin);
}

bool is_unicode_space(char32_t c) {
  return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_word_character(char32_t c) { return find_row(kWord, c) != nullptr; }

}  // namespace linea
