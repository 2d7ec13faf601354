// The subset of regular expressions: what matches where, and what is refused.
#include "tokenizers/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace linea {
namespace {

constexpr size_t kNone = Regex::kNone;

size_t match(const char* pattern, const std::string& text, size_t begin = 0) { return Regex(pattern, "file").match(text, begin); }

TEST(Regex, PrefersAsBacktrackingDoes) {
  EXPECT_EQ(match("a|ab", "ab"), 1u);  // the first alternative, not the longest
  EXPECT_EQ(match("ab|a", "ab"), 2u);
  EXPECT_EQ(match("a+ab", "aaab"), 4u);
  EXPECT_EQ(match("a++ab", "aaab"), kNone);
  EXPECT_EQ(match("a*", ""), 0u);
  EXPECT_EQ(match("a{2,3}", "aaaa"), 3u);
  EXPECT_EQ(match("a{2,}b", "aaaab"), 5u);
  EXPECT_EQ(match("a{2}", "a"), kNone);
  EXPECT_EQ(match("(ab)*c", "ababc"), 5u);
  EXPECT_EQ(match("(?:ab|b)+", "abbab"), 5u);
  EXPECT_EQ(match("(ab)?c", "c"), 1u);
  EXPECT_EQ(match("x(a|b(c|d)e)y", "xbdey"), 5u);
  EXPECT_EQ(match("b", "abc", 1), 2u);
}

TEST(Regex, LooksAhead) {
  EXPECT_EQ(match(R"(\s+(?!\S))", "   a"), 2u);
  EXPECT_EQ(match(R"(\s+(?!\S))", "   "), 3u);
  EXPECT_EQ(match(R"(\s+(?!\S))", " a"), kNone);
  EXPECT_EQ(match("a(?=b|c)", "ac"), 1u);
  EXPECT_EQ(match("a(?=b|c)", "ad"), kNone);
}

TEST(Regex, KnowsCharacters) {
  EXPECT_EQ(match(R"(\p{L}+)", "\u00e9\u4f60a1"), 6u);
  EXPECT_EQ(match(R"([^\s\p{L}\p{N}]+)", "!?\u3002a"), 5u);
  EXPECT_EQ(match(R"([^\S\n]+)", " \t\n"), 2u);
  EXPECT_EQ(match(R"(\P{Lu})", "A"), kNone);
  EXPECT_EQ(match(R"(\p{^Lu})", "a"), 1u);
  EXPECT_EQ(match(R"([a-c\-\]]+)", "ab-]d"), 4u);
  EXPECT_EQ(match(R"([-a]+)", "-a"), 2u);
  EXPECT_EQ(match(R"(\x41\u0042\x{1F600})", "AB\U0001F600"), 6u);
  EXPECT_EQ(match("(?i:'s)x", "'Sx"), 3u);
  EXPECT_EQ(match("(?i:'s)x", "'SX"), kNone);
  EXPECT_EQ(match(".", "\n"), kNone);
  EXPECT_EQ(match(R"(\d\D\w\W)", "1a_ "), 4u);
}

TEST(Regex, RefusesTheRest) {
  for (const char* pattern : {"(",       ")",        "a)",    "[",     "[]",     "[^]",    "a**", "a+?",  "(a*)*",     "(a|)+",
                              "(a){2}",  "a{3,2}",   "a{",    "a{x}",  "^a",     "a$",     "\\",  "\\1",  "\\b",       "(?<=a)b",
                              "(?<n>a)", "\\p{Han}", "\\p{L", "[z-a]", "[a[b]]", "[a&&b]", "*a",  "\\xg", "a{999999}", "\xff"}) {
    try {
      const Regex regex(pattern, "file");
      ADD_FAILURE() << pattern;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kModel);
      EXPECT_THAT(error.what(), testing::StartsWith("file: pattern"));
    }
  }
}

TEST(Regex, GivesUpWhereTimeWouldExplode) {
  const Regex regex("(a|a)+b", "file");
  EXPECT_EQ(regex.match("aaab", 0), 4u);
  EXPECT_THROW(regex.match(std::string(60, 'a'), 0), Error);
}

}  // namespace
}  // namespace linea
