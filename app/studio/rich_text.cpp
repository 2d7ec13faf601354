#include "app/studio/rich_text.h"

#include <cmath>

#include "app/studio/clipboard.h"
#include "app/studio/text_layout.h"
#include "app/studio/utf8.h"
#include "app/studio/widgets.h"

namespace linea::studio {

void RichText::set(std::string_view markdown) {
  if (set_ && !is_plain_ && markdown == source_) return;
  source_ = markdown, is_plain_ = false, set_ = true;
  blocks_ = parse_markdown(markdown);
  build_plain();
}

void RichText::set_plain(std::string_view text) {
  if (set_ && is_plain_ && text == source_) return;
  source_ = text, is_plain_ = true, set_ = true;
  blocks_ = {{.kind = BlockKind::kParagraph, .spans = {{.text = std::string(text)}}}};
  build_plain();
}

// The text as it is copied: blocks on lines of their own, cells with tabs between them.
void RichText::build_plain() {
  plain_.clear();
  pieces_.assign(blocks_.size(), {});
  width_ = -1;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Block& block = blocks_[i];
    if (!plain_.empty()) plain_ += block.kind == BlockKind::kListItem && blocks_[i - 1].kind == BlockKind::kListItem ? "\n" : "\n\n";
    if (block.kind == BlockKind::kCode) {
      const size_t begin = plain_.size();
      plain_ += block.code;
      pieces_[i] = {{{begin, plain_.size(), Face::kMonoSmall, Tone::kText, false, false}}};
    } else if (block.kind == BlockKind::kTable) {
      for (size_t row = 0; row < block.rows.size(); ++row) {
        if (row) plain_ += '\n';
        for (size_t column = 0; column < block.rows[row].size(); ++column) {
          if (column) plain_ += '\t';
          append(block.rows[row][column], pieces_[i].emplace_back(), row == 0 ? Face::kBold : Face::kText);
        }
      }
    } else {
      if (block.kind == BlockKind::kListItem) plain_ += block.number >= 0 ? std::to_string(block.number) + ". " : "- ";
      const Face face = block.kind != BlockKind::kHeading ? Face::kText
                        : block.level == 1                ? Face::kTitle
                        : block.level == 2                ? Face::kHeading
                                                          : Face::kBold;
      append(block.spans, pieces_[i].emplace_back(), face);
    }
  }
  from_ = std::min(from_, plain_.size()), to_ = std::min(to_, plain_.size());
}

void RichText::append(const Spans& spans, std::vector<Piece>& pieces, Face face) {
  for (const Span& span : spans) {
    const size_t begin = plain_.size();
    plain_ += span.text;
    Face own = face;
    if (span.code) {
      own = Face::kMonoSmall;
    } else if (face == Face::kText) {
      own = span.bold ? Face::kBold : span.italic ? Face::kItalic : Face::kText;
    }
    pieces.push_back({begin, plain_.size(), own, span.link.empty() ? Tone::kText : Tone::kAccent, span.code, span.strike});
  }
}

float RichText::height(Ui& ui, float width) {
  if (width_ != width || scale_ != ui.scale()) lay_out(ui, width);
  return height_;
}

void RichText::lay_out(Ui& ui, float width) {
  width_ = width, scale_ = ui.scale();
  runs_.clear();
  boxes_.clear();
  ui.fonts().want(plain_);
  float y = 0;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    if (i > 0) {
      const bool items = blocks_[i].kind == BlockKind::kListItem && blocks_[i - 1].kind == BlockKind::kListItem;
      y += ui.px(items ? 3 : blocks_[i].kind == BlockKind::kHeading ? 16 : 10);
    }
    y += lay_block(ui, i, y, width);
  }
  height_ = std::max(y, ui.line_height(Face::kText));
}

float RichText::lay_block(Ui& ui, size_t i, float y, float width) {
  const Block& block = blocks_[i];
  const float line = std::round(ui.line_height(Face::kText) * 1.08f);
  switch (block.kind) {
    case BlockKind::kCode: return lay_code(ui, i, y, width);
    case BlockKind::kTable: return lay_table(ui, i, y, width);
    case BlockKind::kRule: boxes_.push_back({Box::kRule, {0, y + ui.px(6), width, std::max(1.0f, ui.px(1))}}); return ui.px(13);
    case BlockKind::kQuote: {
      const float height = flow(ui, pieces_[i][0], ui.px(16), y, width - ui.px(16), line);
      boxes_.push_back({Box::kQuote, {0, y, ui.px(3), height}});
      return height;
    }
    case BlockKind::kListItem: {
      const float indent = ui.px(22) * static_cast<float>(block.level + 1);
      const std::string number = block.number >= 0 ? std::to_string(block.number) + "." : "";
      boxes_.push_back({Box::kBullet, {indent - ui.px(20), y, ui.px(16), ui.line_height(Face::kText)}, 0, 0, number});
      return flow(ui, pieces_[i][0], indent, y, width - indent, line);
    }
    case BlockKind::kHeading:
      return flow(ui, pieces_[i][0], 0, y, width, block.level == 1 ? ui.line_height(Face::kTitle) : ui.line_height(Face::kHeading));
    case BlockKind::kParagraph: break;
  }
  return flow(ui, pieces_[i][0], 0, y, width, line);
}

float RichText::lay_code(Ui& ui, size_t i, float y, float width) {
  const Piece& piece = pieces_[i][0][0];
  const Style& style = ui.style(Face::kMonoSmall);
  const std::string_view code = std::string_view(plain_).substr(piece.begin, piece.end - piece.begin);
  const float line = ui.line_height(Face::kMonoSmall), pad = ui.px(12), head = ui.px(30);
  const auto lines = wrap_text(style, code, width - 2 * pad);
  for (size_t row = 0; row < lines.size(); ++row) {
    const TextLine& l = lines[row];
    runs_.push_back({pad, y + head + static_cast<float>(row) * line, x_of(style, code, l, l.end), piece.begin + l.start,
                     piece.begin + l.end, Face::kMonoSmall, Tone::kText, false, false});
  }
  const float height = head + static_cast<float>(lines.size()) * line + pad;
  boxes_.push_back({Box::kCode, {0, y, width, height}, piece.begin, piece.end, blocks_[i].language});
  return height;
}

// Columns as wide as their widest cell, narrowed in proportion where that is too much.
float RichText::lay_table(Ui& ui, size_t i, float y, float width) {
  const size_t columns = blocks_[i].rows[0].size(), rows = blocks_[i].rows.size();
  const float pad = ui.px(10);
  std::vector<float> widths(columns, ui.px(40));
  for (size_t cell = 0; cell < pieces_[i].size(); ++cell) {
    float wide = 2 * pad + 2;
    for (const Piece& p : pieces_[i][cell]) wide += text_width(ui.style(p.face), std::string_view(plain_).substr(p.begin, p.end - p.begin));
    widths[cell % columns] = std::max(widths[cell % columns], std::ceil(wide));
  }
  float sum = 0;
  for (const float w : widths) sum += w;
  if (sum > width) {
    for (float& w : widths) w = std::floor(w * width / sum);
  }
  const float start = y;
  for (size_t row = 0; row < rows; ++row) {
    float height = 0, x = 0;
    const size_t first_box = boxes_.size();
    for (size_t column = 0; column < columns; ++column) {
      boxes_.push_back({row == 0 ? Box::kHeadCell : Box::kCell, {x, y, widths[column], 0}});
      height = std::max(height, flow(ui, pieces_[i][row * columns + column], x + pad, y + ui.px(5), widths[column] - 2 * pad,
                                     ui.line_height(Face::kText)));
      x += widths[column];
    }
    height = std::ceil(height + ui.px(10));
    for (size_t b = first_box; b < boxes_.size(); ++b) boxes_[b].rect.h = height;
    y += height;
  }
  return y - start;
}

float RichText::flow(Ui& ui, const std::vector<Piece>& pieces, float left, float top, float width, float line_height) {
  float x = 0, y = 0;
  for (const Piece& piece : pieces) {
    const Style& style = ui.style(piece.face);
    const std::string_view text(plain_);
    const float pad = piece.code ? ui.px(4) : 0;  // of the code's ground
    if (x > 0) x += pad;
    size_t start = piece.begin, at = piece.begin;
    float start_x = x;
    const auto emit = [&](size_t end) {
      if (end > start)
        runs_.push_back({left + start_x, top + y, x - start_x, start, end, piece.face, piece.tone, piece.code, piece.strike});
    };
    while (at < piece.end) {
      if (text[at] == '\n') {
        emit(at);
        x = start_x = 0, y += line_height, start = ++at;
        continue;
      }
      // A word and the spaces behind it, or one character of a script without spaces.
      size_t end = at;
      float word = 0, spaces = 0;
      while (end < piece.end && text[end] != ' ' && text[end] != '\n') {
        size_t next = end;
        const unsigned int c = decode_utf8(text, next);
        const float step = advance(style, c);
        if (end > at && (c >= 0x2E80 || word + step > width)) break;
        word += step, end = next;
        if (c >= 0x2E80) break;
      }
      while (end < piece.end && text[end] == ' ') spaces += advance(style, ' '), ++end;
      if (x > 0 && x + word > width + 0.5f) {
        emit(at);
        x = start_x = 0, y += line_height, start = at;
      }
      x += word + spaces;
      at = end;
    }
    emit(piece.end);
    x += pad;
  }
  return y + line_height;
}

bool RichText::draw(Ui& ui, std::string_view id, ImVec2 at) {
  const IdScope scope(id);
  const Rect whole{at.x, at.y, width_, height_};
  draw_boxes(ui, at, true);
  draw_boxes(ui, at, false);  // buttons come before the text's area, so that they get the mouse
  const Response r = ui.item("text", whole, ItemKind::kArea, ui.recording ? std::string_view(plain_).substr(0, 2000) : std::string_view(),
                             {.focusable = false, .enter_clicks = false});
  select(ui, r, at);
  draw_runs(ui, at);
  return r.pressed;
}

void RichText::draw_boxes(Ui& ui, ImVec2 at, bool behind) {
  const Palette& p = ui.colors();
  for (size_t i = 0; i < boxes_.size(); ++i) {
    const Box& box = boxes_[i];
    const Rect r{at.x + box.rect.x, at.y + box.rect.y, box.rect.w, box.rect.h};
    if (!ImGui::IsRectVisible(r.min(), r.max())) continue;
    if (box.kind == Box::kCode && !behind) {
      const Rect head{r.x + ui.px(12), r.y + ui.px(3), r.w - ui.px(20), ui.px(26)};
      ui.text_in(head, box.label.empty() ? "text" : box.label, Face::kSmall, p.quiet);
      const float width = button_width(ui, "Copy", Icon::kCopy);
      if (button(ui, "copy" + std::to_string(i), {head.right() - width, head.y, width, head.h}, "Copy",
                 {.icon = Icon::kCopy, .tip = "Copies this code."})
              .clicked)
        clipboard::set(plain_.substr(box.begin, box.end - box.begin));
    }
    if (!behind) continue;
    const float shared = std::max(1.0f, ui.px(1));  // neighbouring cells have one line between them
    const Rect cell{r.x, r.y, r.w + shared, r.h + shared};
    switch (box.kind) {
      case Box::kCode:
        ui.fill(r, p.window, 6);
        ui.frame(r, p.line, 6);
        break;
      case Box::kQuote: ui.fill(r, p.accent, 1); break;
      case Box::kRule: ui.fill(r, p.line); break;
      case Box::kHeadCell:
        ui.fill(cell, p.raised);
        ui.frame(cell, p.line);
        break;
      case Box::kCell: ui.frame(cell, p.line); break;
      case Box::kBullet:
        if (box.label.empty()) {
          ui.list().AddCircleFilled({r.right() - ui.px(7), r.center().y}, ui.px(2.5f), ui.color(p.quiet));
        } else {
          ui.text_in({r.x - ui.px(10), r.y, r.w + ui.px(6), r.h}, box.label, Face::kText, p.quiet, 1);
        }
        break;
    }
  }
}

void RichText::draw_runs(Ui& ui, ImVec2 at) {
  const size_t low = std::min(from_, to_), high = std::max(from_, to_);
  for (const Run& run : runs_) {
    const float line = ui.line_height(run.face);
    const ImVec2 place{at.x + run.x, at.y + run.y};
    if (!ImGui::IsRectVisible(place, {place.x + run.width + 1, place.y + line})) continue;
    const std::string_view text = std::string_view(plain_).substr(run.begin, run.end - run.begin);
    if (run.code) ui.fill({place.x - ui.px(3), place.y + ui.px(1), run.width + ui.px(6), line}, ui.colors().hover, 3);
    if (high > run.begin && low < run.end) {
      const Style& style = ui.style(run.face);
      const size_t begin = std::max(low, run.begin) - run.begin, end = std::min(high, run.end) - run.begin;
      const float x0 = text_width(style, text.substr(0, begin)), x1 = text_width(style, text.substr(0, end));
      ui.fill({place.x + x0, place.y, x1 - x0, line}, ui.colors().selection);
    }
    const uint32_t color = run.tone == Tone::kAccent ? ui.colors().accent : run.tone == Tone::kQuiet ? ui.colors().quiet : ui.colors().text;
    ui.draw_text({place.x, place.y + (run.code ? ui.px(1.5f) : 0)}, text, run.face, color);
    if (run.strike) ui.fill({place.x, place.y + line / 2, run.width, std::max(1.0f, ui.px(1))}, color);
  }
}

size_t RichText::byte_under(Ui& ui, ImVec2 point) const {
  // The run in whose line the point lies: the last one that begins above it, and of these the one it is beside.
  const Run* best = nullptr;
  for (const Run& run : runs_) {
    if (run.y > point.y) continue;
    if (!best || run.y > best->y || (run.y == best->y && run.x <= point.x)) best = &run;
  }
  if (!best) return 0;
  const TextLine line{best->begin, best->end, true};
  return byte_at(ui.style(best->face), plain_, line, point.x - best->x);
}

void RichText::select(Ui& ui, const Response& r, ImVec2 at) {
  const ImVec2 mouse = ImGui::GetIO().MousePos, local{mouse.x - at.x, mouse.y - at.y};
  if (r.hovered) ImGui::SetMouseCursor(ImGuiMouseCursor_TextInput);
  if (r.pressed) {
    from_ = to_ = byte_under(ui, local);
    selecting_ = true;
  } else if (r.held && selecting_) {
    to_ = byte_under(ui, local);
  } else {
    selecting_ = false;
  }
  if (r.double_clicked) {
    const auto word = [&](size_t i) { return i < plain_.size() && plain_[i] != ' ' && plain_[i] != '\n'; };
    from_ = to_ = byte_under(ui, local);
    while (from_ > 0 && word(from_ - 1)) --from_;
    while (word(to_)) ++to_;
  }
}

}  // namespace linea::studio
