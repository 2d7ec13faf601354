#include "tokenizers/regex.h"

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/text.h"
#include "tokenizers/unicode/case.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {

bool CharacterSet::find(char32_t c) const {
  for (const auto& [first, last] : ranges_) {
    if (c >= first && c <= last) return true;
  }
  if (spaces_ != not_spaces_ && is_unicode_space(c) == spaces_) return true;
  if (words_ != not_words_ && is_word_character(c) == words_) return true;
  return (spaces_ && not_spaces_) || (words_ && not_words_) || (categories_ != 0 && (categories_ & category_of(c)) != 0);
}

void CharacterSet::finish(bool negated) {
  negated_ = negated;
  for (char32_t c = 0; c < kAscii; ++c) ascii_[c] = find(c) != negated;
}

// ---- Parsing: steps are written as the pattern is read --------------------------------------------------------------------------------

class RegexParser {
 public:
  RegexParser(Regex& regex, std::string_view pattern) : regex_(regex), pattern_(pattern) {}

  void parse() {
    alternatives(0);
    if (!done()) fail("an unmatched ')'");
    emit({.op = Regex::Op::kMatch});
  }

 private:
  static constexpr uint32_t kUnbounded = 0xffffffffu;
  static constexpr int kMaxDepth = 16;
  static constexpr size_t kMaxSteps = 10'000;
  using Step = Regex::Step;
  using Op = Regex::Op;

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::kModel, regex_.source_ + ": pattern " + printable(pattern_) + ": " + what + " at byte " + std::to_string(at_) +
                                       " is not supported");
  }

  bool done() const { return at_ >= pattern_.size(); }
  char peek() const { return done() ? '\0' : pattern_[at_]; }
  bool take(std::string_view text) {
    if (!pattern_.substr(std::min(at_, pattern_.size())).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  void expect(std::string_view text) {
    if (!take(text)) fail("what stands instead of '" + std::string(text) + "'");
  }

  size_t emit(const Step& step) {
    if (regex_.steps_.size() >= kMaxSteps) fail("so long a pattern");
    regex_.steps_.push_back(step);
    return regex_.steps_.size() - 1;
  }
  size_t here() const { return regex_.steps_.size(); }
  size_t add(CharacterSet set, bool negated = false) {
    set.finish(negated);
    regex_.sets_.push_back(std::move(set));
    return regex_.sets_.size() - 1;
  }

  // a|b|c  →  split(a, next) a jump(end) next: split(b, …) …     Returns whether nothing at all can match.
  bool alternatives(int depth) {
    if (depth > kMaxDepth) fail("so deep a group");
    std::vector<size_t> ends;
    bool may_be_empty = false;
    for (size_t begin = here();; begin = here()) {
      may_be_empty |= sequence(depth);
      if (!take("|")) break;
      ends.push_back(emit({.op = Op::kJump}));
      insert(begin, {.op = Op::kSplit, .to = begin + 1, .other = here() + 1});
      ++ends.back();
    }
    for (const size_t end : ends) regex_.steps_[end].to = here();
    return may_be_empty;
  }

  // Puts a step before others, whose targets move along.
  void insert(size_t position, const Step& step) {
    for (size_t i = position; i < here(); ++i) {
      Step& moved = regex_.steps_[i];
      if (moved.op == Op::kSplit || moved.op == Op::kJump || moved.op == Op::kLookahead) ++moved.to, ++moved.other;
    }
    regex_.steps_.insert(regex_.steps_.begin() + static_cast<std::ptrdiff_t>(position), step);
  }

  bool sequence(int depth) {
    bool may_be_empty = true;
    while (!done() && peek() != '|' && peek() != ')') may_be_empty &= item(depth);
    return may_be_empty;
  }

  struct Count {
    uint32_t least = 1, most = 1;
    bool possessive = false;  // gives nothing back
  };

  bool item(int depth) {
    if (take("(?=") || take("(?!")) {
      const size_t look = emit({.op = Op::kLookahead, .negative = pattern_[at_ - 1] == '!'});
      alternatives(depth + 1);
      expect(")");
      emit({.op = Op::kMatch});
      regex_.steps_[look].to = here();
      return true;
    }
    if (peek() == '(') return group(depth);
    const size_t set = character();
    const Count count = quantifier();
    if (count.least == 1 && count.most == 1) {
      emit({.op = Op::kSet, .set = set});
    } else {
      emit({.op = Op::kRepeat, .set = set, .least = count.least, .most = count.most, .possessive = count.possessive});
    }
    return count.least == 0;
  }

  bool group(int depth) {
    const bool outer = ignore_case_;
    if (take("(?i:")) {
      ignore_case_ = true;
    } else if (!take("(?:")) {
      expect("(");
      if (peek() == '?') fail("this kind of group");
    }
    const size_t begin = here();
    const bool empty = alternatives(depth + 1);
    expect(")");
    ignore_case_ = outer;
    const Count count = quantifier();
    if (count.least == 1 && count.most == 1) return empty;
    if (count.least > 1 || (count.most != 1 && count.most != kUnbounded)) fail("a counted group");
    if (count.possessive) fail("a possessive group");
    if (empty) fail("repetition of a group that may be empty");
    if (count.most == kUnbounded) {  // body split(body, end), and before it for * another way round
      emit({.op = Op::kSplit, .to = begin, .other = here() + 1});
    }
    if (count.least == 0) insert(begin, {.op = Op::kSplit, .to = begin + 1, .other = here() + 1});
    return count.least == 0;
  }

  Count quantifier() {
    Count count;
    const bool counted = peek() == '{';
    if (take("?")) {
      count = {0, 1};
    } else if (take("*")) {
      count = {0, kUnbounded};
    } else if (take("+")) {
      count = {1, kUnbounded};
    } else if (take("{")) {
      count.least = number();
      count.most = !take(",") ? count.least : peek() == '}' ? kUnbounded : number();
      expect("}");
      if (count.least > count.most) fail("a count from more to less");
    } else {
      return count;
    }
    if (!counted && take("+")) count.possessive = true;
    if (peek() == '?' || peek() == '+' || peek() == '*') fail("a lazy or double repetition");
    return count;
  }

  uint32_t number() {
    constexpr uint32_t kMost = 100'000;
    uint32_t value = 0;
    if (!(peek() >= '0' && peek() <= '9')) fail("what stands instead of a number");
    while (peek() >= '0' && peek() <= '9') {
      value = value * 10 + static_cast<uint32_t>(pattern_[at_++] - '0');
      if (value > kMost) fail("so large a count");
    }
    return value;
  }

  // One character of the text: a literal, an escape, a class or the dot.
  size_t character() {
    CharacterSet set;
    if (take("[")) return character_class();
    if (take(".")) {
      set.add('\n', '\n');
      return add(std::move(set), /*negated=*/true);
    }
    if (peek() == '\\') {
      if (const std::optional<char32_t> literal = escape(set)) add_literal(set, *literal);
      return add(std::move(set));
    }
    if (std::string_view("^$?*+{}]").find(peek()) != std::string_view::npos) fail(std::string("'") + peek() + "' here");
    add_literal(set, next_code_point(pattern_, at_));
    return add(std::move(set));
  }

  void add_literal(CharacterSet& set, char32_t c) const {
    set.add(c, c);
    if (!ignore_case_) return;
    const char32_t lower = lower_code_point(c);
    if (lower > 'z' || lower < 'a') return;
    set.add(lower, lower);
    set.add(lower - 'a' + 'A', lower - 'a' + 'A');
    if (lower == 's') set.add(0x17f, 0x17f);  // ſ and the Kelvin sign fold to ASCII
    if (lower == 'k') set.add(0x212a, 0x212a);
  }

  // After the backslash: a literal character, or a set that is added to `set`.
  std::optional<char32_t> escape(CharacterSet& set) {
    expect("\\");
    if (done()) fail("a backslash at the end");
    const char c = pattern_[at_++];
    switch (c) {
      case 'n': return U'\n';
      case 'r': return U'\r';
      case 't': return U'\t';
      case 'f': return U'\f';
      case 'v': return U'\v';
      case 's':
      case 'S': set.add_spaces(c == 's'); return std::nullopt;
      case 'w':
      case 'W': set.add_word_characters(c == 'w'); return std::nullopt;
      case 'd': set.add_categories(*categories_named("Nd")); return std::nullopt;
      case 'D': set.add_categories(~*categories_named("Nd")); return std::nullopt;
      case 'p':
      case 'P': set.add_categories(property(c == 'P')); return std::nullopt;
      case 'x':
      case 'u': return hexadecimal(c);
      default: break;
    }
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter) fail(std::string("the escape \\") + c);
    --at_;
    return next_code_point(pattern_, at_);
  }

  CategoryMask property(bool negated) {
    expect("{");
    negated ^= take("^");
    const size_t close = pattern_.find('}', at_);
    if (close == std::string_view::npos) fail("a property without its end");
    const std::string_view name = pattern_.substr(at_, close - at_);
    const std::optional<CategoryMask> mask = categories_named(name);
    if (!mask) fail("the property " + printable(name));
    at_ = close + 1;
    return negated ? ~*mask : *mask;
  }

  // \xHH, \x{H…} or \uHHHH
  char32_t hexadecimal(char kind) {
    const bool braces = kind == 'x' && take("{");
    char32_t value = 0;
    const size_t digits = braces ? 6 : kind == 'x' ? 2 : 4;
    size_t found = 0;
    for (; found < digits && std::isxdigit(static_cast<unsigned char>(peek())); ++found, ++at_) {
      const char c = pattern_[at_];
      value = value * 16 + static_cast<char32_t>(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    if (braces) expect("}");
    if (found == 0 || (!braces && found != digits) || value > 0x10ffff) fail("this number of a character");
    return value;
  }

  size_t character_class() {
    CharacterSet set;
    const bool negated = take("^");
    bool any = false;
    while (!take("]")) {
      if (done()) fail("a class without its end");
      if (peek() == '[' || pattern_.substr(at_).starts_with("&&")) fail("a class inside a class");
      any = true;
      std::optional<char32_t> first = class_member(set);
      if (!first || peek() != '-' || pattern_.substr(at_).starts_with("-]")) {
        if (first) add_literal(set, *first);
        continue;
      }
      expect("-");
      const std::optional<char32_t> last = class_member(set);
      if (!last || *last < *first) fail("this range");
      set.add(*first, *last);
    }
    if (!any) fail("an empty class");
    return add(std::move(set), negated);
  }

  std::optional<char32_t> class_member(CharacterSet& set) {
    if (done()) fail("a class without its end");
    if (peek() == '\\') return escape(set);
    return next_code_point(pattern_, at_);
  }

  Regex& regex_;
  std::string_view pattern_;
  size_t at_ = 0;
  bool ignore_case_ = false;
};

Regex::Regex(std::string_view pattern, const std::string& source) : source_(source) {
  if (!is_utf8(pattern)) throw Error(ErrorKind::kModel, source + ": pattern " + printable(pattern) + " is not valid UTF-8");
  RegexParser(*this, pattern).parse();
}

// ---- Matching ------------------------------------------------------------------------------------------------------------------------

size_t Regex::match(std::string_view text, size_t begin) const {
  // Useful patterns look at each character a few times; the square of the text would take hours.
  int64_t budget = 100'000 + 64 * static_cast<int64_t>(text.size() - begin);
  return run(text, begin, 0, budget);
}

size_t Regex::run(std::string_view text, size_t begin, size_t step, int64_t& budget) const {
  // Where to go on when what was tried fails: at `step`, with the position anything from `position` down to `least`.
  struct Choice {
    size_t step, position, least;
  };
  std::vector<Choice> choices;
  size_t at = begin;
  const auto spend = [&] {
    if (--budget < 0) throw Error(ErrorKind::kModel, source_ + ": its pattern takes too many steps on this text");
  };
  const auto retreat = [&] {  // to the last choice; false when there is none
    if (choices.empty()) return false;
    Choice& choice = choices.back();
    step = choice.step;
    at = choice.position;
    if (choice.position > choice.least) {
      previous_code_point(text, choice.position);
    } else {
      choices.pop_back();
    }
    return true;
  };
  for (;;) {
    spend();
    const Step& s = steps_[step];
    bool fits = true;
    switch (s.op) {
      case Op::kMatch: return at;
      case Op::kJump: step = s.to; continue;
      case Op::kSplit:
        choices.push_back({s.other, at, at});
        step = s.to;
        continue;
      case Op::kSet: {
        fits = at < text.size() && sets_[s.set].contains(next_code_point(text, at));
        break;
      }
      case Op::kRepeat: {
        size_t least = at;
        uint32_t count = 0;
        for (size_t next = at; count < s.most && at < text.size() && sets_[s.set].contains(next_code_point(text, next)); at = next) {
          if (++count == s.least) least = next;
          spend();
        }
        fits = count >= s.least;
        if (fits && at > least && !s.possessive) {
          size_t before = at;
          previous_code_point(text, before);
          choices.push_back({step + 1, before, least});
        }
        break;
      }
      case Op::kLookahead: {
        fits = (run(text, at, step + 1, budget) != kNone) != s.negative;
        if (fits) {
          step = s.to;
          continue;
        }
        break;
      }
    }
    if (fits) {
      ++step;
    } else if (!retreat()) {
      return kNone;
    }
  }
}

}  // namespace linea
