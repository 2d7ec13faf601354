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
