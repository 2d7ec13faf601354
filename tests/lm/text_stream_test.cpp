// Streaming text: whole characters, stop strings wherever tokens divide them.
#include <gtest/gtest.h>

#include <random>

#include "core/text.h"
#include "lm/session/text_stream.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

TEST(TextStream, HoldsBackWhatCouldBeginAStop) {
  TextStream stream({"\n\nUser:", "END"});
  EXPECT_EQ(stream.push("Hello.\n"), "Hello.");
  EXPECT_EQ(stream.push("\n"), "");
  EXPECT_EQ(stream.push("More E"), "\n\nMore ");
  EXPECT_EQ(stream.push("N\n\nUs"), "EN");
  EXPECT_EQ(stream.push("er: x"), "");
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.push("later"), "");
  EXPECT_EQ(stream.finish(), "");
}

TEST(TextStream, TheStopThatEndsFirstCounts) {
  for (const std::vector<std::string>& pieces : {std::vector<std::string>{"xabcd"}, {"xabc", "d"}, {"x", "a", "b", "c", "d"}}) {
    TextStream stream({"bc", "abcd", ""});
    std::string text;
    for (const std::string& piece : pieces) text += stream.push(piece);
    EXPECT_EQ(text, "xa");
    EXPECT_TRUE(stream.stopped());
  }
}

TEST(TextStream, WhatWaitsComesAtTheEnd) {
  TextStream stream({"\n\n"});
  EXPECT_EQ(stream.push("a\n"), "a");
  EXPECT_EQ(stream.finish(), "\n");
  TextStream cut;
  EXPECT_EQ(cut.push("a\xf0\x9f"), "a");
  EXPECT_EQ(cut.finish(), "\xef\xbf\xbd");
}

// However a text is divided, valid or not, the same comes out, in valid pieces.
TEST(TextStream, AnyDivisionGivesTheSameText) {
  std::mt19937 random(5);
  const std::vector<std::string> parts = {"a",        "é",        "你",           "😀",    "\n",           "\n\n", "\x80",
                                          "\xc3",     "\xe4\xbd", "\xf0\x9f\x98", "\xff", "\xed\xa0\x80", "STOP", "ST",
                                          "\xc0\xaf", "\xf4\x90"};
  for (int run = 0; run < 500; ++run) {
    std::string text;
    for (int i = 0; i < 12; ++i) text += parts[random() % parts.size()];
    const std::vector<std::string> stops = {"STOP", "\n\n\n"};
    const size_t end = std::min(text.find(stops[0]), text.find(stops[1]));  // no stop can overlap another here
    const std::string expected = valid_utf8(text.substr(0, end));
    TextStream stream(stops);
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t count = std::min<size_t>(1 + random() % 4, text.size() - at);
      const std::string piece = stream.push(std::string_view(text).substr(at, count));
      EXPECT_TRUE(is_utf8(piece));
      out += piece;
      at += count;
    }
    EXPECT_EQ(stream.stopped(), end != std::string::npos);
    out += stream.finish();
    EXPECT_EQ(out, expected);
  }
}

}  // namespace
}  // namespace linea
