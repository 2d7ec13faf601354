#include "tokenizers/unicode/utf8.h"

#include <gtest/gtest.h>

#include "core/text.h"
#include "tokenizers/unicode/case.h"
#include "tokenizers/unicode/normal_forms.h"

namespace linea {
namespace {

// Expected values: Python 3.11, bytes.decode("utf-8", "replace").
TEST(Utf8, InvalidBytesBecomeReplacementCharactersAsInPython) {
  EXPECT_EQ(valid_utf8("plain é 漢 😀"), "plain é 漢 😀");
  EXPECT_EQ(valid_utf8("\x80"), "\uFFFD");
  EXPECT_EQ(valid_utf8("\xc0\xaf"), "\uFFFD\uFFFD");            // overlong
  EXPECT_EQ(valid_utf8("\xe0\x80\x80"), "\uFFFD\uFFFD\uFFFD");  // overlong
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");  // surrogate
  EXPECT_EQ(valid_utf8("\xf0\x9f\x98"), "\uFFFD");              // cut emoji
  EXPECT_EQ(valid_utf8("\xf0\x9f\x98x"), "\uFFFDx");
  EXPECT_EQ(valid_utf8("\xf4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");  // beyond U+10FFFF
  EXPECT_EQ(valid_utf8("\xe2\x96\xe2\x96\x81"), "\uFFFD\u2581");
  EXPECT_EQ(valid_utf8(std::string("a\0b", 3)), std::string("a\0b", 3));
}

TEST(Utf8, EveryCodePointGoesOutAndBack) {
  for (char32_t c = 0; c <= 0x10ffff; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string text;
    append_utf8(text, c);
    ASSERT_TRUE(is_utf8(text));
    size_t position = 0;
    ASSERT_EQ(next_code_point(text, position), c);
    ASSERT_EQ(position, text.size());
    ASSERT_EQ(previous_code_point(text, position), c);
    ASSERT_EQ(position, 0u);
  }
}

TEST(PythonLower, SpecialCases) {
  EXPECT_EQ(python_lower("A Red APPLE"), "a red apple");
  EXPECT_EQ(python_lower("ÀÉÎÕÜ ẞ Ǆ ǅ"), "àéîõü ß ǆ ǆ");
  EXPECT_EQ(python_lower("İstanbul"), "i\u0307stanbul");
  EXPECT_EQ(python_lower("ЖЁЯ"), "жёя");
  EXPECT_EQ(python_lower("𐐀𐐧"), "𐐨𐑏");
  EXPECT_EQ(python_lower("日本 한글 😀"), "日本 한글 😀");
}

TEST(PythonLower, FinalSigma) {
  EXPECT_EQ(python_lower("ΟΔΥΣΣΕΥΣ"), "οδυσσευς");
  EXPECT_EQ(python_lower("Σ"), "σ");
  EXPECT_EQ(python_lower("ΑΣ ΣΑ"), "ας σα");
  EXPECT_EQ(python_lower("ΑΣ."), "ας.");
  EXPECT_EQ(python_lower("ΑΣ.Β"), "ασ.β");  // a full stop is passed over
  EXPECT_EQ(python_lower("Α\u0301Σ\u0301"), "α\u0301ς\u0301");
  EXPECT_EQ(python_lower("1Σ"), "1σ");
}

TEST(PythonStrip, PythonsBlanksOnly) {
  EXPECT_EQ(python_strip(" \t\n\r\x0b\x0c\x1c\x1f a b \u00a0\u2003\u3000\u0085"), "a b");
  EXPECT_EQ(python_strip("\u200ba\ufeff"), "\u200ba\ufeff");  // zero-width ones are not blank
  EXPECT_EQ(python_strip("   "), "");
  EXPECT_EQ(python_strip(""), "");
}

TEST(NormalForms, ComposeAndDecompose) {
  EXPECT_EQ(canonical_composition("e\u0301"), "é");
  EXPECT_EQ(canonical_decomposition("é"), "e\u0301");
  EXPECT_EQ(canonical_decomposition("한"), "\u1112\u1161\u11ab");
  EXPECT_EQ(canonical_composition("\u1112\u1161\u11ab"), "한");
  EXPECT_EQ(canonical_composition("q\u0307\u0323"), "q\u0323\u0307");  // marks in order of class
  EXPECT_EQ(canonical_composition("\u0958"), "\u0915\u093c");          // excluded from composition
  EXPECT_EQ(canonical_composition("\u1e0a\u0323"), "\u1e0c\u0307");
  EXPECT_EQ(canonical_composition("a\u0300\u0300"), "\u00e0\u0300");
  EXPECT_EQ(canonical_composition("plain"), "plain");
}

TEST(CharacterClasses, WordsAndBlanks) {
  for (const char32_t c : {U'a', U'Z', U'0', U'_', U'é', U'漢', U'٣', U'\u0301', U'Ⓐ'}) EXPECT_TRUE(is_word_character(c)) << uint32_t(c);
  for (const char32_t c : {U' ', U'-', U'.', U'<', U'😀', U'\u2581'}) EXPECT_FALSE(is_word_character(c)) << uint32_t(c);
  for (const char32_t c : {U' ', U'\n', U'\u00a0', U'\u3000', U'\u2028'}) EXPECT_TRUE(is_unicode_space(c)) << uint32_t(c);
  for (const char32_t c : {U'a', U'\u200b', U'\x1c'}) EXPECT_FALSE(is_unicode_space(c)) << uint32_t(c);
}

}  // namespace
}  // namespace linea
