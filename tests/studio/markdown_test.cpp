#include "app/studio/markdown.h"

#include <gtest/gtest.h>

#include <random>

namespace linea::studio {
namespace {

std::string plain(const Spans& spans) {
  std::string text;
  for (const Span& span : spans) text += span.text;
  return text;
}

TEST(Markdown, HeadingsParagraphsAndRules) {
  const auto b = parse_markdown("# One\ntwo\nthree\n\n---\n### Four\n#no heading");
  ASSERT_EQ(b.size(), 5u);
  EXPECT_EQ(b[0].kind, BlockKind::kHeading);
  EXPECT_EQ(b[0].level, 1);
  EXPECT_EQ(plain(b[1].spans), "two three");
  EXPECT_EQ(b[2].kind, BlockKind::kRule);
  EXPECT_EQ(b[3].level, 3);
  EXPECT_EQ(plain(b[4].spans), "#no heading");
}

TEST(Markdown, Lists) {
  const auto b = parse_markdown("- a\n  - b\n* c\n12. d\n    goes on\n");
  ASSERT_EQ(b.size(), 4u);
  EXPECT_EQ(b[1].level, 1);
  EXPECT_EQ(b[2].number, -1);
  EXPECT_EQ(b[3].number, 12);
  EXPECT_EQ(plain(b[3].spans), "d goes on");
}

TEST(Markdown, CodeIsKeptAsItIs) {
  const auto b = parse_markdown("before\n```cpp\nint a = 1;\n\n  # no *heading*\n```\nafter");
  ASSERT_EQ(b.size(), 3u);
  EXPECT_EQ(b[1].language, "cpp");
  EXPECT_EQ(b[1].code, "int a = 1;\n\n  # no *heading*");
  const auto open = parse_markdown("```py\nprint(1)");  // still being written
  ASSERT_EQ(open.size(), 1u);
  EXPECT_EQ(open[0].code, "print(1)");
}

TEST(Markdown, Tables) {
  const auto b = parse_markdown("| a | **b** |\n|---|:-:|\n| 1 | 2 \\| 3 |\n| 4 |\n\ntext");
  ASSERT_EQ(b.size(), 2u);
  ASSERT_EQ(b[0].rows.size(), 3u);
  EXPECT_EQ(plain(b[0].rows[0][1]), "b");
  EXPECT_TRUE(b[0].rows[0][1][0].bold);
  EXPECT_EQ(plain(b[0].rows[1][1]), "2 | 3");
  EXPECT_EQ(b[0].rows[2].size(), 2u);  // short rows are filled up
}

TEST(Markdown, Spans) {
  EXPECT_EQ(
      parse_spans("a **b** *c* `d*e*` ~~f~~"),
      (Spans{
          {"a "}, {"b", true}, {" "}, {"c", false, true}, {" "}, {"d*e*", false, false, true}, {" "}, {"f", false, false, false, true}}));
  EXPECT_EQ(parse_spans("snake_case_name and 2 * 3 * 4"), (Spans{{"snake_case_name and 2 * 3 * 4"}}));
  EXPECT_EQ(parse_spans("**open"), (Spans{{"**open"}}));
  EXPECT_EQ(parse_spans("\\*no\\*"), (Spans{{"*no*"}}));
  const Spans link = parse_spans("see [here](http://x.y)");
  ASSERT_EQ(link.size(), 2u);
  EXPECT_EQ(link[1].link, "http://x.y");
}

TEST(Markdown, FirstLineReadsAsRendered) {
  EXPECT_EQ(first_line("A **bold** `word`\n\nand more"), "A bold word");
  EXPECT_EQ(first_line("## Title\ntext"), "Title");
  EXPECT_EQ(first_line("```cpp\nint x;\nint y;\n```"), "int x;");
  EXPECT_EQ(first_line("| a | b |\n|---|---|\n| 1 | 2 |"), "a");
  EXPECT_EQ(first_line("---\n"), "");
  EXPECT_EQ(first_line(std::string(1000, 'x')).size(), 300u);
}

TEST(Markdown, SurvivesAnything) {
  std::mt19937 random(11);
  const std::string letters = "ab *_`~[]()|#->\n\n  1.\\!:\"";
  for (int i = 0; i < 3000; ++i) {
    std::string text;
    for (unsigned n = random() % 120; n-- > 0;) text += letters[random() % letters.size()];
    for (const Block& block : parse_markdown(text)) {
      if (block.kind != BlockKind::kTable) continue;
      for (const auto& row : block.rows) ASSERT_EQ(row.size(), block.rows[0].size());
    }
  }
  EXPECT_EQ(parse_markdown(std::string(20000, '>')).size(), 1u);
}

}  // namespace
}  // namespace linea::studio
