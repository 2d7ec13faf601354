#include <map>

#include "core/error.h"
#include "core/text.h"
#include "lm/grammar/grammar.h"
#include "lm/grammar/utf8_ranges.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

using Sequence = std::vector<Symbol>;
using Alternatives = std::vector<Sequence>;

constexpr size_t kMaxBytes = 4 << 20;
constexpr size_t kMaxSymbols = 1'000'000;  // after repetitions are written out
constexpr int64_t kMaxRepetitions = 100'000;
constexpr int kMaxDepth = 100;  // of groups
constexpr int64_t kAny = -1;    // repetitions without an end

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

class GbnfParser {
 public:
  GbnfParser(std::string_view text, std::string source) : text_(text), source_(std::move(source)) {}

  Grammar parse() {
    if (text_.size() > kMaxBytes) throw Error(ErrorKind::kUsage, source_ + ": is larger than 4 MiB");
    if (!is_utf8(text_)) throw Error(ErrorKind::kUsage, source_ + ": is not UTF-8");
    rule_named("root");  // index 0
    skip_space(true);
    while (at_ < text_.size()) parse_rule();
    for (const auto& [name, rule] : names_) {
      if (!rule.defined) {
        throw Error(ErrorKind::kUsage, rule.line == 0 ? source_ + ": there is no rule 'root'"
                                                      : source_ + ": line " + std::to_string(rule.line) + ": rule '" + printable(name, 80) +
                                                            "' is not defined");
      }
    }
    return Grammar(std::move(draft_), source_);
  }

 private:
  struct Named {
    uint32_t index = 0;
    size_t line = 0;  // where it was met first; 0 = nowhere
    bool defined = false;
  };

  // Of what is read now, counted on from where it was asked for last: reading never goes back by a line.
  size_t line() {
    for (; counted_ < std::min(at_, text_.size()); ++counted_) line_ += text_[counted_] == '\n';
    return line_;
  }
  [[noreturn]] void fail(const std::string& what) {
    throw Error(ErrorKind::kUsage, source_ + ": line " + std::to_string(line()) + ": " + what);
  }

  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool take(std::string_view expected) {
    if (!text_.substr(at_).starts_with(expected)) return false;
    at_ += expected.size();
    return true;
  }

  void skip_space(bool newlines) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || c == '\r' || (newlines && c == '\n')) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string parse_name() {
    const size_t start = at_;
    while (is_name_character(peek())) ++at_;
    if (at_ == start) fail(at_ < text_.size() ? "expected a rule's name" : "ends where a rule's name should stand");
    return std::string(text_.substr(start, at_ - start));
  }

  Named& rule_named(const std::string& name) {
    const auto [slot, fresh] = names_.try_emplace(name);
    if (fresh) {
      slot->second.index = static_cast<uint32_t>(draft_.rules.size());
      draft_.rules.push_back({.name = name});
    }
    return slot->second;
  }

  // At the beginning of "name ::=", which a new line needs to start another rule.
  bool at_rule() const {
    size_t i = at_;
    while (i < text_.size() && is_name_character(text_[i])) ++i;
    if (i == at_) return false;
    while (i < text_.size() && (text_[i] == ' ' || text_[i] == '\t')) ++i;
    return text_.substr(i).starts_with("::=");
  }

  void parse_rule() {
    const std::string name = parse_name();
    skip_space(false);
    if (!take("::=")) fail("expected ::= after '" + printable(name, 80) + "'");
    Named& named = rule_named(name);
    if (named.defined) fail("rule '" + printable(name, 80) + "' is defined twice");
    named.defined = true;
    const uint32_t index = named.index;
    owner_ = index;
    Alternatives alternatives = parse_alternatives(0);
    draft_.rules[index].alternatives = std::move(alternatives);
    skip_space(true);
    if (at_ < text_.size() && !at_rule()) fail("expected a rule, name ::= …");
  }

  Alternatives parse_alternatives(int depth) {
    if (depth > kMaxDepth) fail("groups are nested deeper than " + std::to_string(kMaxDepth));
    Alternatives alternatives(1);
    for (;;) {
      skip_space(true);
      if (take("|")) {
        alternatives.emplace_back();
      } else if (at_ >= text_.size() || peek() == ')' || at_rule()) {
        return alternatives;
      } else {
        const Sequence element = parse_repeated(depth);
        alternatives.back().insert(alternatives.back().end(), element.begin(), element.end());
      }
    }
  }

  Sequence parse_repeated(int depth) {
    Sequence item = parse_item(depth);
    for (;;) {
      skip_space(false);
      if (take("*")) {
        item = repeated(item, 0, kAny);
      } else if (take("+")) {
        item = repeated(item, 1, kAny);
      } else if (take("?")) {
        item = repeated(item, 0, 1);
      } else if (take("{")) {
        item = parse_counts(item);
      } else {
        return item;
      }
    }
  }

  Sequence parse_counts(const Sequence& item) {
    skip_space(false);
    const int64_t least = parse_count();
    int64_t most = least;
    skip_space(false);
    if (take(",")) {
      skip_space(false);
      most = peek() == '}' ? kAny : parse_count();
    }
    skip_space(false);
    if (!take("}")) fail("expected }");
    if (most != kAny && most < least)
      fail("{" + std::to_string(least) + "," + std::to_string(most) + "}: the second number is the smaller one");
    return repeated(item, least, most);
  }

  int64_t parse_count() {
    int64_t value = 0;
    const size_t start = at_;
    for (; peek() >= '0' && peek() <= '9'; ++at_) value = std::min(value * 10 + (peek() - '0'), kMaxRepetitions + 1);
    if (at_ == start) fail("expected a number of repetitions");
    if (value > kMaxRepetitions) fail("more than " + std::to_string(kMaxRepetitions) + " repetitions");
    return value;
  }

  Symbol new_rule(Alternatives alternatives) {
    draft_.rules.push_back({.name = draft_.rules[owner_].name, .is_part = true, .alternatives = std::move(alternatives)});
    return {Symbol::Kind::kRule, static_cast<uint32_t>(draft_.rules.size() - 1)};
  }

  void count_symbols(size_t more) {
    symbols_ += more;
    if (symbols_ > kMaxSymbols) fail("repetitions make more than " + std::to_string(kMaxSymbols) + " symbols");
  }

  // least copies, then either a rule that calls itself or a chain of optional ones: x{2,4} = x x (x (x)?)?
  Sequence repeated(const Sequence& item, int64_t least, int64_t most) {
    draft_.rules[owner_].repeats = true;
    Sequence result;
    count_symbols((item.size() + 1) * static_cast<size_t>(least + (most == kAny ? 1 : most - least)));
    Sequence one = item;
    if (item.size() > 1) one = {new_rule({item})};
    for (int64_t i = 0; i < least; ++i) result.insert(result.end(), one.begin(), one.end());
    if (most == kAny) {
      const Symbol loop = new_rule({{}, {}});
      Sequence again = one;
      again.push_back(loop);
      draft_.rules[loop.index].alternatives[0] = again;
      result.push_back(loop);
      return result;
    }
    Sequence rest;
    for (int64_t i = least; i < most; ++i) {
      Sequence some = one;
      some.insert(some.end(), rest.begin(), rest.end());
      rest = {new_rule({some, {}})};
    }
    result.insert(result.end(), rest.begin(), rest.end());
    return result;
  }

  Sequence parse_item(int depth) {
    if (take("\"")) return parse_literal();
    if (take("[")) return parse_class();
    if (take("(")) {
      Alternatives alternatives = parse_alternatives(depth + 1);
      if (!take(")")) fail("expected )");
      if (alternatives.size() == 1) return alternatives[0];
      return {new_rule(std::move(alternatives))};
    }
    if (take(".")) return class_of(normalized({}, true));
    if (!is_name_character(peek())) fail(std::string("unexpected '") + printable(text_.substr(at_, 1)) + "'");
    const std::string name = parse_name();
    Named& named = rule_named(name);
    if (named.line == 0) named.line = line();
    return {{Symbol::Kind::kRule, named.index}};
  }

  Symbol bytes(ByteSet set) {
    const auto [slot, fresh] = sets_.try_emplace(set, static_cast<uint32_t>(draft_.sets.size()));
    if (fresh) draft_.sets.push_back(set);
    return {Symbol::Kind::kBytes, slot->second};
  }

  char32_t parse_character() {
    size_t at = at_;
    const char32_t c = next_code_point(text_, at);
    at_ = at;
    if (c != '\\') return c;
    const char escape = peek();
    ++at_;
    switch (escape) {
      case 'n': return '\n';
      case 'r': return '\r';
      case 't': return '\t';
      case 'x': return parse_hex(2);
      case 'u': return parse_hex(4);
      case 'U': return parse_hex(8);
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^': return static_cast<char32_t>(escape);
      default: --at_; fail(std::string("unknown escape \\") + printable(text_.substr(std::min(at_, text_.size()), 1)));
    }
  }

  char32_t parse_hex(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      const char c = peek();
      const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
      if (digit < 0) fail("expected " + std::to_string(digits) + " hexadecimal digits");
      value = value * 16 + static_cast<char32_t>(digit);
    }
    if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) fail("an escape is not a character");
    return value;
  }

  Sequence parse_literal() {
    Sequence sequence;
    while (!take("\"")) {
      if (at_ >= text_.size() || peek() == '\n') fail("a literal is not closed by \"");
      const char32_t c = parse_character();
      std::string utf8;
      append_utf8(utf8, c);
      for (const char byte : utf8) {
        ByteSet set;
        set.add(static_cast<uint8_t>(byte), static_cast<uint8_t>(byte));
        sequence.push_back(bytes(set));
      }
    }
    count_symbols(sequence.size());
    return sequence;
  }

  Sequence parse_class() {
    const bool inverted = take("^");
    std::vector<CharacterRange> ranges;
    while (!take("]")) {
      if (at_ >= text_.size() || peek() == '\n') fail("a class is not closed by ]");
      const char32_t first = parse_character();
      char32_t last = first;
      if (peek() == '-' && peek(1) != ']' && peek(1) != '\0') {
        ++at_;
        last = parse_character();
      }
      if (last < first) fail("a range of a class ends before it begins");
      ranges.push_back({first, last});
    }
    ranges = normalized(std::move(ranges), inverted);
    if (ranges.empty()) fail("a class is empty");
    return class_of(ranges);
  }

  // One set of bytes for what is ASCII, and a rule of sequences for the rest.
  Sequence class_of(const std::vector<CharacterRange>& ranges) {
    ByteSet ascii;
    bool has_ascii = false;
    Alternatives alternatives;
    for (const CharacterRange& range : ranges) {
      for (const std::vector<ByteRange>& sequence : utf8_sequences(range)) {
        if (sequence.size() == 1) {
          ascii.add(sequence[0].first, sequence[0].last);
          has_ascii = true;
          continue;
        }
        Sequence& symbols = alternatives.emplace_back();
        for (const ByteRange& r : sequence) {
          ByteSet set;
          set.add(r.first, r.last);
          symbols.push_back(bytes(set));
        }
        count_symbols(symbols.size());
      }
    }
    if (has_ascii) alternatives.insert(alternatives.begin(), Sequence{bytes(ascii)});
    if (alternatives.size() == 1) return alternatives[0];
    return {new_rule(std::move(alternatives))};
  }

  std::string_view text_;
  std::string source_;
  size_t at_ = 0, symbols_ = 0;
  size_t counted_ = 0, line_ = 1;
  uint32_t owner_ = 0;
  Grammar::Draft draft_;
  std::map<std::string, Named> names_;
  std::map<ByteSet, uint32_t> sets_;
};

}  // namespace

Grammar parse_gbnf(std::string_view text, const std::string& source) { return GbnfParser(text, source).parse(); }

}  // namespace linea
