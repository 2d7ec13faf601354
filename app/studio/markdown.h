// app/studio/markdown.h: the parts of Markdown that models write: headings, paragraphs, lists, quotes, tables, code, and bold, italic, code
// and links within lines. Never fails: what is not understood is text. Fit for text that is still growing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace linea::studio {

struct Span {
  std::string text;
  bool bold = false, italic = false, code = false, strike = false;
  std::string link{};
  bool operator==(const Span&) const = default;
};

using Spans = std::vector<Span>;

enum class BlockKind : uint8_t { kParagraph, kHeading, kListItem, kQuote, kCode, kRule, kTable };

struct Block {
  BlockKind kind = BlockKind::kParagraph;
  int level = 0;                           // of a heading (1 to 6); depth of a list item (0, 1, …) or a quote (1, …)
  int number = -1;                         // of an ordered item; -1 = a bullet
  Spans spans{};                           // of everything but code and tables
  std::string language{}, code{};          // of code
  std::vector<std::vector<Spans>> rows{};  // of a table: the first is the head
};

std::vector<Block> parse_markdown(std::string_view text);
Spans parse_spans(std::string_view text);
// Its first words as they read when rendered: for lists of messages.
std::string first_line(std::string_view text);

}  // namespace linea::studio
