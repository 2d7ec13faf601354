#include "core/text.h"

#include <gtest/gtest.h>

namespace linea {
namespace {

TEST(Text, PrintableEscapesControlsAndMalformedBytes) {
  EXPECT_EQ(printable("plain"), "plain");
  EXPECT_EQ(printable("a\nb\x7f"), "a\\x0ab\\x7f");
  EXPECT_EQ(printable("caf\xc3\xa9 \xf0\x9f\x8e\xa8"), "caf\xc3\xa9 \xf0\x9f\x8e\xa8");
  EXPECT_EQ(printable("\xe9t\xe9"), "\\xe9t\\xe9");
  EXPECT_EQ(printable("0123456789", 4), "0123…");
}

TEST(Text, WhatActsOnATerminalIsEscaped) {
  EXPECT_EQ(for_terminal("two\nlines,\ttabs, caf\xc3\xa9, \xe2\x80\x94 and \xe2\x80\x98quotes\xe2\x80\x99"),
            "two\nlines,\ttabs, caf\xc3\xa9, \xe2\x80\x94 and \xe2\x80\x98quotes\xe2\x80\x99");
  EXPECT_EQ(for_terminal("\x1b[31m\r\n\xff"), "\\x1b[31m\\x0d\n\\xff");
  for (const char* unseen : {"\xc2\x9b", "\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xaa", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa9"}) {
    EXPECT_EQ(for_terminal(unseen).substr(0, 2), "\\x") << printable(unseen);
  }
  for (const char* seen : {"\xc2\xa0", "\xe2\x80\x8d", "\xe2\x80\x90", "\xe2\x80\xaf", "\xe2\x81\xa5", "\xe2\x82\xac"}) {
    EXPECT_EQ(for_terminal(seen), seen);
  }
}

TEST(Text, Utf8IsWellFormedOnlyWithoutOverlongsAndSurrogates) {
  for (const char* good :
       {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_utf8(good)) << printable(good);
  }
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                          "\xf5\x80\x80\x80", "\xc2", "\xe2\x82", "\xf0\x9f\x8e", "\xff"}) {
    EXPECT_FALSE(is_utf8(bad)) << printable(bad);
    EXPECT_TRUE(is_utf8(to_valid_utf8(bad)));
  }
  EXPECT_EQ(to_valid_utf8("a\xff b"), "a\xef\xbf\xbd b");
}

TEST(Text, Latin1RoundTrips) {
  std::string all;
  for (int code = 0; code < 256; ++code) all += static_cast<char>(code);
  EXPECT_EQ(utf8_to_latin1(latin1_to_utf8(all)), all);
  EXPECT_FALSE(utf8_to_latin1("\xc4\x80"));  // U+0100
  EXPECT_FALSE(utf8_to_latin1("\xe9"));
}

}  // namespace
}  // namespace linea
