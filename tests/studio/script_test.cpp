#include "app/studio/script.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace linea::studio {
namespace {

TEST(Script, CommandsWordsAndComments) {
  const auto s = parse_script("# first\nclick \"New chat\"   # the button\n\ndrag #a #b\ntype \"a \\\"b\\\"\\n\"\n", "test");
  ASSERT_EQ(s.size(), 3u);
  EXPECT_EQ(s[0].line, 2);
  EXPECT_EQ(s[0].words, (std::vector<std::string>{"New chat"}));
  EXPECT_EQ(s[1].words, (std::vector<std::string>{"#a", "#b"}));
  EXPECT_EQ(s[2].words, (std::vector<std::string>{"a \"b\"\n"}));
}

TEST(Script, ErrorsNameTheLine) {
  const auto message = [](const std::string& text) {
    try {
      parse_script(text, "test");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      return std::string(error.what());
    }
    return std::string("none");
  };
  EXPECT_EQ(message("quit\nklick \"x\""), "test: line 2: unknown command 'klick'");
  EXPECT_EQ(message("type \"open"), "test: line 1: a quote is not closed");
  EXPECT_EQ(message("click"), "test: line 1: 'click' has 0 arguments");
  EXPECT_EQ(message("key Ctrl+Nonsense"), "unknown key 'Ctrl+Nonsense'");
}

TEST(Script, Chords) {
  EXPECT_EQ(parse_chord("Ctrl+Shift+Enter").key, 257);
  EXPECT_EQ(parse_chord("Ctrl+Shift+Enter").modifiers, 3);
  EXPECT_EQ(parse_chord("F11").key, 300);
  EXPECT_EQ(parse_chord("C").key, 'C');
}

}  // namespace
}  // namespace linea::studio
