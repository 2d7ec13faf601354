// app/studio/rich_text.h: Markdown laid out at a width: drawn, selected with the mouse, copied as plain text.
#pragma once

#include <string>
#include <vector>

#include "app/studio/markdown.h"
#include "app/studio/ui.h"

namespace linea::studio {

class RichText {
 public:
  void set(std::string_view markdown);    // does nothing when it is the same text
  void set_plain(std::string_view text);  // no Markdown: as it is
  float height(Ui& ui, float width);      // lays out where width, scale or text are new
  // Draws at `at` what lies within the clip rectangle; handles selection. True when it was clicked on.
  bool draw(Ui& ui, std::string_view id, ImVec2 at);

  std::string selected() const { return plain_.substr(std::min(from_, to_), std::max(from_, to_) - std::min(from_, to_)); }
  bool has_selection() const { return from_ != to_; }
  void clear_selection() { from_ = to_ = 0; }
  const std::string& plain() const { return plain_; }

 private:
  enum class Tone : uint8_t { kText, kQuiet, kAccent };
  struct Run {
    float x, y, width;
    size_t begin, end;  // in plain_
    Face face;
    Tone tone;
    bool code, strike;
  };
  struct Box {
    enum Kind : uint8_t { kCode, kQuote, kRule, kCell, kHeadCell, kBullet } kind;
    Rect rect;
    size_t begin = 0, end = 0;  // of the code in plain_
    std::string label{};        // its language
  };
  struct Piece {
    size_t begin, end;
    Face face;
    Tone tone;
    bool code, strike;
  };

  void build_plain();
  void append(const Spans& spans, std::vector<Piece>& pieces, Face face);
  void lay_out(Ui& ui, float width);
  float lay_block(Ui& ui, size_t index, float y, float width);
  float lay_code(Ui& ui, size_t index, float y, float width);
  float lay_table(Ui& ui, size_t index, float y, float width);
  // Flows pieces into lines; returns the height.
  float flow(Ui& ui, const std::vector<Piece>& pieces, float x, float y, float width, float line_height);
  void draw_boxes(Ui& ui, ImVec2 at, bool behind);
  void draw_runs(Ui& ui, ImVec2 at);
  void select(Ui& ui, const Response& r, ImVec2 at);
  size_t byte_under(Ui& ui, ImVec2 point) const;

  std::string source_, plain_;
  bool is_plain_ = false, set_ = false;
  std::vector<Block> blocks_;
  // For each block its pieces; for a table cell by cell.
  std::vector<std::vector<std::vector<Piece>>> pieces_;
  std::vector<Run> runs_;
  std::vector<Box> boxes_;
  float width_ = -1, scale_ = 0, height_ = 0;
  size_t from_ = 0, to_ = 0;
  bool selecting_ = false;
};

}  // namespace linea::studio
