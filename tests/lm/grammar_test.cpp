// Grammars: what they accept, which tokens they allow, and what is wrong with broken ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

#include "lm/grammar/gbnf_text.h"
#include "lm/grammar/matcher.h"
#include "lm/grammar/token_set.h"
#include "lm/grammar/utf8_ranges.h"
#include "tests/lm/piece_tokenizer.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

using test::PieceTokenizer;
using testing::HasSubstr;

class Machine {
 public:
  explicit Machine(const std::string& gbnf, PieceTokenizer tokenizer = PieceTokenizer::with_bytes())
      : tokenizer_(std::move(tokenizer)),
        vocabulary_(tokenizer_, tokenizer_.vocabulary_size(), {0}),
        matcher_(parse_gbnf(gbnf, "grammar"), vocabulary_, std::make_shared<TokenTrie>(vocabulary_)) {}

  GrammarMatcher::StateId after(std::string_view text) { return matcher_.advance(matcher_.start(), text); }
  bool begins(std::string_view text) { return after(text) != GrammarMatcher::kDead; }
  bool accepts(std::string_view text) { return begins(text) && matcher_.complete(after(text)); }
  GrammarMatcher& operator*() { return matcher_; }
  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  PieceTokenizer tokenizer_;
  Vocabulary vocabulary_;
  GrammarMatcher matcher_;
};

TEST(Gbnf, EveryNotation) {
  struct Case {
    const char* grammar;
    std::vector<std::string> yes, no;
  };
  const std::vector<Case> cases = {{"root ::= \"ab\"", {"ab"}, {"", "a", "abc", "b"}},
                                   {"root ::= \"a\" | \"b\" \"c\" |", {"", "a", "bc"}, {"b", "c", "ac"}},
                                   {"root ::= [a-c]+ [^x]?", {"a", "abc", "ab\xc3\xbc", "abcy"}, {"", "d", "ax", "a\xc3"}},
                                   {"root ::= \"a\"{2} \"b\"{1,3} \"c\"{2,}", {"aabcc", "aabbbcccc"}, {"abcc", "aabbbbcc", "aabc"}},
                                   {"root ::= (\"a\" | \"b\"){0,2} \"!\"", {"!", "a!", "ba!"}, {"aba!", ""}},
                                   {"root ::= x (\",\" x)*  # a list\nx ::= \"1\" |\n  \"2\"\n", {"1", "1,2,2"}, {"", "1,", ",1"}},
                                   {"root ::= \"(\" root \")\" | \"\"", {"", "()", "((()))"}, {"(", "())", "(("}},
                                   {"root ::= [\\u0400-\\u04FF] \"\\U0001F600\" \"\\x41\\n\\t\\\\\\\"\"", {"Ж😀A\n\t\\\""}, {"Ж", "x"}},
                                   {"root ::= .", {"a", "é", "😀", "\n"}, {"", "ab", "\x80", "\xc3"}},
                                   {"root ::= [\\]\\-^a]+", {"]-^a"}, {"b"}},
                                   {"root ::= (\"a\"*)* \"b\"", {"b", "aab"}, {"a"}},
                                   {"root ::= (\"a\"? \"b\"?)* \"c\"", {"c", "abbac"}, {"ab"}},
                                   {"root-1 ::= \"x\"\nroot ::= root-1 root-1", {"xx"}, {"x"}},
                                   {"root ::=\n  \"a\"\n  \"b\"\n", {"ab"}, {"a"}}};
  for (const Case& c : cases) {
    Machine machine(c.grammar);
    for (const std::string& text : c.yes) EXPECT_TRUE(machine.accepts(text)) << c.grammar << " should accept " << text;
    for (const std::string& text : c.no) EXPECT_FALSE(machine.accepts(text)) << c.grammar << " should refuse " << text;
  }
}

std::string error_of(const std::string& gbnf) {
  try {
    parse_gbnf(gbnf, "grammar");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "no error";
}

TEST(Gbnf, BrokenGrammarsGetOneLine) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "there is no rule 'root'"},
      {"x ::= \"a\"", "there is no rule 'root'"},
      {"root ::= y", "line 1: rule 'y' is not defined"},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2: rule 'root' is defined twice"},
      {"root ::= \"a", "not closed"},
      {"root ::= \"a\nb\"", "not closed"},
      {"root ::= [a-", "not closed"},
      {"root ::= [z-a]", "ends before it begins"},
      {"root ::= []", "class is empty"},
      {"root ::= (\"a\"", "expected )"},
      {"root ::= \"a\")", "expected a rule"},
      {"root ::= *", "unexpected '*'"},
      {"root ::= \"a\"{3,1}", "the second number is the smaller one"},
      {"root ::= \"a\"{x}", "expected a number of repetitions"},
      {"root ::= \"a\"{999999}", "more than 100000 repetitions"},
      {"root ::= (\"a\"{10000}){10000}", "symbols"},
      {"root ::= \"\\q\"", "unknown escape"},
      {"root ::= \"\\u12\"", "hexadecimal"},
      {"root ::= \"\\uD800\"", "not a character"},
      {"root = \"a\"", "expected ::="},
      {"root ::= \"\xff\"", "not UTF-8"},
      {"root ::= root \"a\" | \"b\"", "rule 'root' begins with itself"},
      {"root ::= x\nx ::= y \"a\" | \"b\"\ny ::= \"\" x", "begins with itself"},
      {"root ::= e root \"a\" | \"b\"\ne ::= \"c\"?", "begins with itself"},
      {"root ::= \"a\" root", "never ends"},
      {"root ::= \"a\" | x\nx ::= \"b\" y\ny ::= \"c\" x", "never ends"},
      {"root ::= " + std::string(200, '(') + "\"a\"" + std::string(200, ')'), "nested deeper"}};
  for (const auto& [grammar, part] : cases) EXPECT_THAT(error_of(grammar), HasSubstr(part)) << grammar.substr(0, 80);
}

// In time that grows with their number: as many steps as pairs of rules would take minutes here.
TEST(Gbnf, LongChainsOfRulesAreRead) {
  constexpr int kRules = 100'000;
  for (const bool backwards : {false, true}) {
    std::vector<std::string> rules = {"root ::= r0"};
    for (int i = 0; i < kRules; ++i) rules.push_back("r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + " \"b\" | \"cccc\" root");
    const std::string last = "r" + std::to_string(kRules) + " ::= ";
    if (backwards) std::reverse(rules.begin(), rules.end());
    const auto grammar_with = [&](const std::string& rule) {
      std::string text = rule;
      for (const std::string& line : rules) text += "\n" + line;
      return text;
    };
    EXPECT_EQ(parse_gbnf(grammar_with(last + "\"aaa\""), "grammar").rule(0).shortest, kRules + 3u);
    EXPECT_THAT(error_of(grammar_with(last + "r0 | \"a\"")), HasSubstr("begins with itself"));
  }
}

TEST(Gbnf, RecursionAtTheEndIsARepetition) {
  Machine machine("root ::= \"a\" root | \"b\" | x\nx ::= x2\nx2 ::= \"c\" x | \"d\"");
  EXPECT_TRUE(machine.accepts("aaab"));
  EXPECT_TRUE(machine.accepts("aacccd"));
  EXPECT_FALSE(machine.accepts("aaa"));
}

TEST(Utf8Ranges, MatchExactlyTheCharactersOfARange) {
  std::mt19937 random(1);
  const std::vector<CharacterRange> fixed = {{0, 0x10ffff},     {0x7f, 0x80},    {0x7ff, 0x800},
                                             {0xffff, 0x10000}, {0x3f, 0x1003f}, {0x800, 0xffff}};
  for (int k = 0; k < 60; ++k) {
    CharacterRange range{static_cast<char32_t>(random() % 0x110000), static_cast<char32_t>(random() % 0x110000)};
    if (range.first > range.last) std::swap(range.first, range.last);
    if (static_cast<size_t>(k) < fixed.size()) range = fixed[static_cast<size_t>(k)];
    std::vector<std::vector<ByteRange>> sequences;
    for (const CharacterRange& part : normalized({range}, false)) {
      const auto some = utf8_sequences(part);
      sequences.insert(sequences.end(), some.begin(), some.end());
    }
    for (char32_t c = 0; c <= 0x10ffff; c += 1 + random() % 97) {
      const bool surrogate = c >= 0xd800 && c <= 0xdfff;
      if (surrogate) continue;
      std::string bytes;
      append_utf8(bytes, c);
      int matches = 0;
      for (const auto& sequence : sequences) {
        bool fits = sequence.size() == bytes.size();
        for (size_t i = 0; fits && i < bytes.size(); ++i) {
          const auto byte = static_cast<uint8_t>(bytes[i]);
          fits = byte >= sequence[i].first && byte <= sequence[i].last;
        }
        matches += fits;
      }
      ASSERT_EQ(matches, c >= range.first && c <= range.last ? 1 : 0) << static_cast<uint32_t>(c) << " in range " << k;
    }
  }
}

// Masks against their definition: a token is allowed when the text can go on with its bytes, and end within some others.
TEST(TokenSet, HoldsWhatWasAddedInNoMoreMemoryThanAMask) {
  constexpr int32_t kVocabulary = 65'536;
  TokenSet set(kVocabulary);
  TokenMask expected(kVocabulary);
  for (int32_t n = 0; n < 4000; ++n) {
    const int32_t id = n * 48'271 % kVocabulary;
    set.add(id);
    expected.add(id);
    if (n % 500 != 0) continue;
    TokenMask found(kVocabulary);
    set.add_to(found);
    ASSERT_EQ(found, expected) << n;
    EXPECT_LE(set.bytes(), size_t{kVocabulary} / 8 + sizeof(TokenSet)) << n;
  }
}

TEST(GrammarMatcher, MasksAreWhatTheDefinitionSays) {
  std::vector<std::string> pieces = {"\",",   "\": ", "\"}", "\"]", "],",     "}]",  "},\"", " a",     "ab",   "abc", "a\"",
                                     "\\\"",  "\\",   "1,",  "12",  "1}",     "é",   "\xc3", "\xa9\"", "true", "tru", "e,",
                                     "null]", "{\"",  "[[",  "[\"", "\", \"", " \"", ": {",  "\"\"",   "0.",   ".5"};
  for (const char* grammar :
       {"root ::= \"[\" (item (\",\" item)*)? \"]\"\nitem ::= string | \"{\" string \":\" ws item \"}\" | number | root | \"true\" | "
        "\"null\"\n"
        "string ::= \"\\\"\" ([^\"\\\\] | \"\\\\\" [\"n\\\\])* \"\\\"\"\nnumber ::= [1-9] [0-9]* (\".\" [0-9]+)?\nws ::= [ ]*",
        "root ::= [ab]{0,3} (\"a\" | \"ab\" | \"b\")* (\"\\\"\" | \"c\")",
        "root ::= \"a\"* \"\\\\\" . | root2\nroot2 ::= \"tr\" \"ue\" \",\""}) {
    Machine machine(grammar, PieceTokenizer::with_bytes(pieces));
    std::mt19937 random(7);
    for (int run = 0; run < 30; ++run) {
      GrammarMatcher::StateId state = (*machine).start();
      for (int length = 0; length < 40; ++length) {
        TokenMask expected(machine.vocabulary().size());
        std::array<TokenMask, 12> before_end;  // by how many bytes
        before_end.fill(expected);
        for (int32_t id = 1; id < machine.vocabulary().size(); ++id) {
          const std::string_view bytes = machine.vocabulary().bytes(id);
          const GrammarMatcher::StateId next = bytes.empty() ? GrammarMatcher::kDead : (*machine).advance(state, bytes);
          if (next == GrammarMatcher::kDead) continue;
          expected.add(id);
          for (size_t most = (*machine).shortest_end(next); most < before_end.size(); ++most) before_end[most].add(id);
        }
        if ((*machine).complete(state)) {
          expected.add(0);
          for (TokenMask& mask : before_end) mask.add(0);
        }
        ASSERT_TRUE((*machine).allowed(state) == expected) << grammar << " run " << run << " after " << length;
        for (size_t most = 0; most < before_end.size(); ++most) {
          ASSERT_TRUE((*machine).allowed_before_end(state, most) == before_end[most]) << grammar << " run " << run << " within " << most;
        }
        std::vector<int32_t> choices;
        expected.for_each([&](int32_t id) { choices.push_back(id); });
        const int32_t id = choices[random() % choices.size()];
        if (id == 0) break;
        state = (*machine).advance(state, machine.vocabulary().bytes(id));
      }
    }
  }
}

TEST(GrammarMatcher, StatesOfRepetitionsDoNotGrow) {
  Machine machine("root ::= \"\\\"\" [^\"]* \"\\\"\"");
  const auto once = machine.after("\"ab"), often = machine.after("\"" + std::string(10000, 'x'));
  EXPECT_EQ(once, often);
  EXPECT_EQ((*machine).shortest_end(once), 1u);
  EXPECT_EQ((*machine).shortest_end((*machine).start()), 2u);
}

// With little room left only what comes to an end in time is allowed.
TEST(GrammarConstraint, EndsWithinTheLimit) {
  const std::string grammar = "root ::= \"{\" \"key:\" value \"}\"\nvalue ::= root | \"[\" (value \",\"?)* \"]\" | [a-z]+";
  for (const int64_t limit : {8, 9, 12, 20, 33, 60}) {
    for (unsigned seed = 0; seed < 20; ++seed) {
      const PieceTokenizer tokenizer = PieceTokenizer::with_bytes({"{key:", "key:{", "[[[", "]}", "}}"});
      const Vocabulary vocabulary(tokenizer, tokenizer.vocabulary_size(), {0});
      const auto matcher =
          std::make_shared<GrammarMatcher>(parse_gbnf(grammar, "grammar"), vocabulary, std::make_shared<TokenTrie>(vocabulary));
      GrammarConstraint constraint(matcher, limit);
      std::mt19937 random(seed);
      bool ended = false;
      for (int64_t n = 0; n < limit && !ended; ++n) {
        std::vector<int32_t> choices;
        constraint.allowed().for_each([&](int32_t id) {
          if (id != 0) choices.push_back(id);
        });
        ended = choices.empty();
        if (!ended) constraint.accept(choices[random() % choices.size()]);
      }
      EXPECT_TRUE(ended && constraint.complete()) << limit << " " << seed;
    }
  }
}

TEST(GrammarConstraint, SaysWhenTheModelCannotSpellIt) {
  const PieceTokenizer tokenizer({"a"});
  const Vocabulary vocabulary(tokenizer, tokenizer.vocabulary_size(), {0});
  const auto matcher =
      std::make_shared<GrammarMatcher>(parse_gbnf("root ::= \"b\"", "grammar"), vocabulary, std::make_shared<TokenTrie>(vocabulary));
  GrammarConstraint constraint(matcher, 100);
  EXPECT_THROW(constraint.allowed(), Error);
}

// Many alternatives are no ambiguity.
TEST(GrammarConstraint, FollowsAListOfThousandsOfWords) {
  std::string grammar = "root ::= \"word0\"";
  for (int i = 1; i < 8000; ++i) grammar += " | \"word" + std::to_string(i) + "\"";
  const PieceTokenizer tokenizer = PieceTokenizer::with_bytes({"wo", "word", "d43"});
  const Vocabulary vocabulary(tokenizer, tokenizer.vocabulary_size(), {0});
  const auto matcher = std::make_shared<GrammarMatcher>(parse_gbnf(grammar, "g"), vocabulary, std::make_shared<TokenTrie>(vocabulary));
  GrammarConstraint constraint(matcher, 100);
  for (const char c : std::string("word4321")) {
    bool found = false;
    constraint.allowed().for_each([&](int32_t id) { found = found || id == c + 1; });
    ASSERT_TRUE(found) << c;
    constraint.accept(c + 1);
  }
  EXPECT_TRUE(constraint.complete());
}

// A text with more readings at every byte is given up with a word, soon.
TEST(GrammarConstraint, SaysWhenAGrammarIsTooAmbiguous) {
  const PieceTokenizer tokenizer = PieceTokenizer::with_bytes({"aa", "aaaa"});
  const Vocabulary vocabulary(tokenizer, tokenizer.vocabulary_size(), {0});
  const auto matcher =
      std::make_shared<GrammarMatcher>(parse_gbnf("root ::= ([a-z] | [^\\n] | .){2,5} x?\nx ::= \"b\"{3,} \"\" | (\"c\"*)root+", "g"),
                                       vocabulary, std::make_shared<TokenTrie>(vocabulary));
  GrammarConstraint constraint(matcher, 1000);
  const auto read = [&] {
    for (int i = 0; i < 1000; ++i) {
      constraint.allowed();
      constraint.accept('c' + 1);
    }
  };
  EXPECT_THROW(read(), Error);
}

TEST(GbnfText, IntegersAreExactlyThoseOfTheRange) {
  std::mt19937 random(3);
  for (int k = 0; k < 200; ++k) {
    const auto span = static_cast<int64_t>(std::vector<int>{3, 20, 150, 2500}[random() % 4]);
    int64_t low = static_cast<int64_t>(random() % static_cast<uint64_t>(2 * span)) - span;
    const int64_t high = low + static_cast<int64_t>(random() % static_cast<uint64_t>(span));
    Machine closed("root ::= " + gbnf_integers(low, high)), from("root ::= " + gbnf_integers_from(low)),
        to("root ::= " + gbnf_integers_to(high));
    for (int64_t n = -3 * span; n <= 3 * span; n += 1 + static_cast<int64_t>(random() % 3)) {
      ASSERT_EQ(closed.accepts(std::to_string(n)), n >= low && n <= high) << n << " in " << low << " to " << high;
      ASSERT_EQ(from.accepts(std::to_string(n)), n >= low) << n << " from " << low;
      ASSERT_EQ(to.accepts(std::to_string(n)), n <= high) << n << " to " << high;
    }
    for (const char* text : {"", "-", "-0", "00", "01", "1.", "+1"})
      ASSERT_FALSE(closed.accepts(text) || from.accepts(text) || to.accepts(text)) << text;
  }
}

}  // namespace
}  // namespace linea
