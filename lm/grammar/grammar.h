// lm/grammar/grammar.h: a context-free grammar over bytes.
//
// Characters beyond ASCII are spelt out as sequences of byte ranges, so that tokens may divide text anywhere. Repetitions have become
// rules. All symbols of all alternatives stand in one list, each alternative closed by kEnd; a position in that list is a place in the
// grammar.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace linea {

class ByteSet {
 public:
  void add(uint8_t first, uint8_t last) {
    for (unsigned byte = first; byte <= last; ++byte) words_[byte / 64] |= uint64_t{1} << (byte % 64);
  }
  bool contains(uint8_t byte) const { return ((words_[byte / 64] >> (byte % 64)) & 1) != 0; }
  bool operator==(const ByteSet&) const = default;
  bool operator<(const ByteSet& other) const { return words_ < other.words_; }  // some order, for maps

 private:
  std::array<uint64_t, 4> words_{};
};

struct Symbol {
  enum class Kind : uint8_t { kBytes, kRule, kEnd };
  Kind kind = Kind::kEnd;
  uint32_t index = 0;  // of a byte set or a rule
};

struct GrammarRule {
  std::string name;
  bool is_part = false;                // what a repetition or group of the rule of this name became
  bool repeats = false;                // a named rule with a repetition of its own
  std::vector<uint32_t> alternatives;  // their first positions
  uint32_t shortest = 0;               // bytes of the shortest text that it stands for
};

class Grammar {
 public:
  // `rules` by index, each a list of alternatives; the first rule is the root. Throws kUsage, beginning with `source`, for rules that call
  // themselves before any byte (left recursion) and rules that stand for no finite text.
  struct Draft {
    struct Rule {
      std::string name;
      bool is_part = false, repeats = false;
      std::vector<std::vector<Symbol>> alternatives{};  // without kEnd
    };
    std::vector<Rule> rules;
    std::vector<ByteSet> sets;
  };
  Grammar(Draft draft, const std::string& source);

  const Symbol& symbol(uint32_t position) const { return symbols_[position]; }
  const ByteSet& set(uint32_t index) const { return sets_[index]; }
  const GrammarRule& rule(uint32_t index) const { return rules_[index]; }
  const GrammarRule& rule_at(uint32_t position) const { return rules_[owner_[position]]; }
  uint32_t rules() const { return static_cast<uint32_t>(rules_.size()); }
  uint32_t shortest_from(uint32_t position) const { return shortest_[position]; }  // bytes to the end of the alternative, at least
  uint32_t longest_detour() const { return longest_detour_; }                      // the largest `shortest` of any alternative

 private:
  void flatten(const Draft& draft);
  void measure(const std::string& source);
  void refuse_left_recursion(const std::string& source) const;
  std::string describe(uint32_t rule) const;

  std::vector<GrammarRule> rules_;
  std::vector<ByteSet> sets_;
  std::vector<Symbol> symbols_;
  std::vector<uint32_t> owner_, shortest_;  // by position
  uint32_t longest_detour_ = 0;
};

// Reads GBNF (the notation of llama.cpp): `name ::= alternatives`, "literals" with \n \r \t \\ \" \xHH \uHHHH \UHHHHHHHH, [classes], `.`,
// (groups), ? * + {m} {m,} {m,n}, # comments; the text is what `root` stands for. Throws kUsage: "SOURCE: line N: what".
Grammar parse_gbnf(std::string_view text, const std::string& source);

}  // namespace linea
