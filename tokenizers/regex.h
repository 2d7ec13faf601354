// tokenizers/regex.h: the regular expressions that pre-tokenizers cut text with.
//
// A subset of Oniguruma's syntax, which the `tokenizers` library uses, with its preferences (alternatives in order, greedy repetition with
// backtracking) on code points: literals, escapes, \s \S \d \D \w \W \p{…} \P{…} by general category, classes, groups (…), (?:…), (?i:…),
// alternation, ? * + {m,n} ?+ *+ ++, and the lookaheads (?=…) and (?!…). Groups that could repeat nothing are refused, as is all else.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizers/unicode/category.h"

namespace linea {

// A set of characters.
class CharacterSet {
 public:
  void add(char32_t first, char32_t last) { ranges_.emplace_back(first, last); }
  void add_categories(CategoryMask mask) { categories_ |= mask; }
  void add_spaces(bool inside) { (inside ? spaces_ : not_spaces_) = true; }
  void add_word_characters(bool inside) { (inside ? words_ : not_words_) = true; }
  // After the last addition: complements the set where asked, and prepares it.
  void finish(bool negated);

  bool contains(char32_t c) const { return c < kAscii ? ascii_[c] : find(c) != negated_; }

 private:
  static constexpr char32_t kAscii = 128;
  bool find(char32_t c) const;

  std::vector<std::pair<char32_t, char32_t>> ranges_;
  CategoryMask categories_ = 0;
  bool spaces_ = false, not_spaces_ = false, words_ = false, not_words_ = false, negated_ = false;
  std::array<bool, kAscii> ascii_{};
};

class Regex {
 public:
  // Throws kModel: "SOURCE: what" for a pattern that is broken or beyond the subset.
  Regex(std::string_view pattern, const std::string& source);

  static constexpr size_t kNone = std::numeric_limits<size_t>::max();
  // Where the match that begins at `begin` ends; kNone when there is none. Throws kModel when that takes too many steps.
  size_t match(std::string_view text, size_t begin) const;

 private:
  friend class RegexParser;
  enum class Op : uint8_t { kSet, kRepeat, kSplit, kJump, kLookahead, kMatch };
  // kSet takes one character of `set`; kRepeat as many as possible, from `least` to `most`
  // (fewer later, unless `possessive`); kSplit goes on at `to`, later at `other`; kJump
  // goes on at `to`; kLookahead runs what follows up to a kMatch and goes on at `to` if it matches, or does not where `negative`.
  struct Step {
    Op op;
    size_t set = 0, to = 0, other = 0;
    uint32_t least = 0, most = 0;
    bool negative = false, possessive = false;
  };

  size_t run(std::string_view text, size_t begin, size_t step, int64_t& budget) const;

  std::vector<Step> steps_;
  std::vector<CharacterSet> sets_;
  std::string source_;
};

}  // namespace linea
