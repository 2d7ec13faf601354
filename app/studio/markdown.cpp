#include "app/studio/markdown.h"

#include <algorithm>
#include <cctype>

namespace linea::studio {
namespace {

constexpr int kDeepest = 8;

std::string_view trimmed(std::string_view s) {
  const size_t first = s.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(" \t\r") - first + 1);
}

size_t indent_of(std::string_view line) {
  size_t columns = 0;
  for (const char c : line) {
    if (c == ' ') {
      ++columns;
    } else if (c == '\t') {
      columns += 4;
    } else {
      break;
    }
  }
  return columns;
}

bool is_rule(std::string_view line) {
  if (line.size() < 3 || (line[0] != '-' && line[0] != '*' && line[0] != '_')) return false;
  return std::all_of(line.begin(), line.end(), [&](char c) { return c == line[0] || c == ' '; }) &&
         std::count(line.begin(), line.end(), line[0]) >= 3;
}

struct Marker {
  size_t length = 0;  // 0 = no list item
  int number = -1;
};

Marker list_marker(std::string_view line) {
  if (line.size() >= 2 && (line[0] == '-' || line[0] == '*' || line[0] == '+') && line[1] == ' ') return {2, -1};
  size_t digits = 0;
  while (digits < line.size() && digits < 9 && std::isdigit(static_cast<unsigned char>(line[digits]))) ++digits;
  if (digits == 0 || digits + 1 >= line.size() || (line[digits] != '.' && line[digits] != ')') || line[digits + 1] != ' ') return {};
  return {digits + 2, std::stoi(std::string(line.substr(0, digits)))};
}

bool is_table_rule(std::string_view line) {
  return line.find('-') != std::string_view::npos && line.find('|') != std::string_view::npos &&
         std::all_of(line.begin(), line.end(), [](char c) { return c == '|' || c == '-' || c == ':' || c == ' '; });
}

std::vector<Spans> cells_of(std::string_view line) {
  if (line.starts_with("|")) line.remove_prefix(1);
  if (line.ends_with("|")) line.remove_suffix(1);
  std::vector<Spans> cells;
  std::string cell;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\' && i + 1 < line.size() && line[i + 1] == '|') {
      cell += line[++i];
    } else if (line[i] == '|') {
      cells.push_back(parse_spans(trimmed(cell)));
      cell.clear();
    } else {
      cell += line[i];
    }
  }
  cells.push_back(parse_spans(trimmed(cell)));
  return cells;
}

class Parser {
 public:
  explicit Parser(std::string_view text) {
    for (size_t at = 0; at <= text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      std::string_view line = text.substr(at, end - at);
      if (line.ends_with('\r')) line.remove_suffix(1);
      lines_.push_back(line);
      at = end + 1;
    }
  }

  std::vector<Block> parse() {
    while (at_ < lines_.size()) block();
    flush();
    return std::move(blocks_);
  }

 private:
  void block() {
    const std::string_view raw = lines_[at_], line = trimmed(raw);
    if (line.empty()) {
      flush();
      ++at_;
    } else if (line.starts_with("```") || line.starts_with("~~~")) {
      code(line);
    } else if (line[0] == '#' && heading(line)) {
    } else if (is_rule(line)) {
      flush();
      blocks_.push_back({.kind = BlockKind::kRule});
      ++at_;
    } else if (line[0] == '>') {
      quote();
    } else if (at_ + 1 < lines_.size() && line.find('|') != std::string_view::npos && is_table_rule(trimmed(lines_[at_ + 1]))) {
      table();
    } else if (const Marker marker = list_marker(line); marker.length > 0) {
      flush();
      Block item{
          .kind = BlockKind::kListItem, .level = std::min<int>(kDeepest, static_cast<int>(indent_of(raw) / 2)), .number = marker.number};
      pending_ = std::string(line.substr(marker.length));
      open_ = item;
      ++at_;
    } else {
      if (pending_.empty()) open_ = Block{};
      if (!pending_.empty()) pending_ += raw.size() >= 2 && raw.ends_with("  ") ? "\n" : " ";
      pending_ += line;
      ++at_;
    }
  }

  // Ends the paragraph or item that lines were added to.
  void flush() {
    if (pending_.empty()) return;
    open_.spans = parse_spans(pending_);
    blocks_.push_back(std::move(open_));
    open_ = Block{};
    pending_.clear();
  }

  void code(std::string_view fence) {
    flush();
    const std::string_view mark = fence.substr(0, 3);
    Block block{.kind = BlockKind::kCode};
    block.language = std::string(trimmed(fence.substr(std::min(fence.size(), fence.find_first_not_of(mark[0])))));
    for (++at_; at_ < lines_.size() && !trimmed(lines_[at_]).starts_with(mark); ++at_) block.code += std::string(lines_[at_]) + "\n";
    ++at_;
    if (!block.code.empty()) block.code.pop_back();
    blocks_.push_back(std::move(block));
  }

  bool heading(std::string_view line) {
    const size_t level = line.find_first_not_of('#');
    if (level == std::string_view::npos || level > 6 || line[level] != ' ') return false;
    flush();
    blocks_.push_back({.kind = BlockKind::kHeading, .level = static_cast<int>(level), .spans = parse_spans(trimmed(line.substr(level)))});
    ++at_;
    return true;
  }

  void quote() {
    flush();
    std::string text;
    for (; at_ < lines_.size() && trimmed(lines_[at_]).starts_with(">"); ++at_) {
      const std::string_view line = trimmed(trimmed(lines_[at_]).substr(1));
      text += (text.empty() ? "" : line.empty() ? "\n" : " ") + std::string(line);
    }
    blocks_.push_back({.kind = BlockKind::kQuote, .level = 1, .spans = parse_spans(text)});
  }

  void table() {
    flush();
    Block block{.kind = BlockKind::kTable};
    block.rows.push_back(cells_of(trimmed(lines_[at_])));
    for (at_ += 2; at_ < lines_.size() && lines_[at_].find('|') != std::string_view::npos; ++at_) {
      block.rows.push_back(cells_of(trimmed(lines_[at_])));
      block.rows.back().resize(block.rows[0].size());
    }
    blocks_.push_back(std::move(block));
  }

  std::vector<std::string_view> lines_;
  size_t at_ = 0;
  Block open_;
  std::string pending_;
  std::vector<Block> blocks_;
};

class SpanParser {
 public:
  explicit SpanParser(std::string_view text) : text_(text) {}

  Spans parse() {
    while (at_ < text_.size()) step();
    flush();
    return std::move(spans_);
  }

 private:
  void step() {
    const char c = text_[at_];
    if (c == '\\' && at_ + 1 < text_.size() && std::ispunct(static_cast<unsigned char>(text_[at_ + 1]))) {
      current_.text += text_[at_ + 1];
      at_ += 2;
    } else if (c == '`') {
      code();
    } else if ((c == '*' || c == '_') && emphasis(c)) {
    } else if (c == '~' && text_.substr(at_, 2) == "~~" && toggles("~~", current_.strike)) {
      switch_to([&] { current_.strike = !current_.strike; }, 2);
    } else if (c == '[' && link()) {
    } else {
      current_.text += c;
      ++at_;
    }
  }

  template <class F> void switch_to(F&& change, size_t length) {
    flush();
    change();
    at_ += length;
  }

  // A mark closes what is open, or opens when it is closed later on.
  bool toggles(std::string_view mark, bool open) const { return open || text_.find(mark, at_ + mark.size()) != std::string_view::npos; }

  bool emphasis(char c) {
    const bool is_double = at_ + 1 < text_.size() && text_[at_ + 1] == c;
    const size_t length = is_double ? 2 : 1;
    const bool& open = is_double ? current_.bold : current_.italic;
    const char before = at_ > 0 ? text_[at_ - 1] : ' ', after = at_ + length < text_.size() ? text_[at_ + length] : ' ';
    const bool in_word = std::isalnum(static_cast<unsigned char>(before)) && std::isalnum(static_cast<unsigned char>(after));
    if (c == '_' && in_word) return false;
    if (open ? before == ' ' : after == ' ' || after == '\n') return false;
    if (!toggles(text_.substr(at_, length), open)) return false;
    switch_to([&] { (is_double ? current_.bold : current_.italic) = !open; }, length);
    return true;
  }

  void code() {
    const size_t ticks = std::min(text_.find_first_not_of('`', at_), text_.size()) - at_;
    const std::string fence(ticks, '`');
    const size_t end = text_.find(fence, at_ + ticks);
    if (end == std::string_view::npos) {
      current_.text += fence;
      at_ += ticks;
      return;
    }
    flush();
    Span span = current_;
    span.text = std::string(text_.substr(at_ + ticks, end - at_ - ticks));
    span.code = true;
    spans_.push_back(std::move(span));
    at_ = end + ticks;
  }

  bool link() {
    const size_t close = text_.find("](", at_);
    if (close == std::string_view::npos || text_.substr(at_ + 1, close - at_ - 1).find('[') != std::string_view::npos) return false;
    const size_t end = text_.find(')', close);
    if (end == std::string_view::npos) return false;
    flush();
    Span span = current_;
    span.text = std::string(text_.substr(at_ + 1, close - at_ - 1));
    span.link = std::string(text_.substr(close + 2, end - close - 2));
    spans_.push_back(std::move(span));
    at_ = end + 1;
    return true;
  }

  void flush() {
    if (!current_.text.empty()) spans_.push_back(current_);
    current_.text.clear();
  }

  std::string_view text_;
  size_t at_ = 0;
  Span current_;
  Spans spans_;
};

}  // namespace

Spans parse_spans(std::string_view text) { return SpanParser(text).parse(); }

std::string first_line(std::string_view text) {
  constexpr size_t kMost = 300;
  for (const Block& block : parse_markdown(text.substr(0, kMost))) {
    std::string line = block.code;
    for (const Span& span : block.rows.empty() ? block.spans : block.rows[0][0]) line += span.text;
    line = line.substr(0, line.find('\n'));
    if (!line.empty()) return line;
  }
  return {};
}
std::vector<Block> parse_markdown(std::string_view text) { return Parser(text).parse(); }

}  // namespace linea::studio
