// app/studio/text_editor.h: the studio's text field: one line, or many that wrap; the same for prompts, searches, numbers and messages.
#pragma once

#include <string>
#include <string_view>

#include "app/studio/edit_buffer.h"
#include "app/studio/text_layout.h"
#include "app/studio/ui.h"

namespace linea::studio {

struct EditorOptions {
  std::string_view label, placeholder{}, tip{};
  Face face = Face::kText;
  bool framed = true;
  bool enter_submits = false;  // Enter is not a line break (Shift+Enter is, in a field of many lines)
  Icon icon = Icon::kNone;     // in front of a field of one line
};

struct EditorResponse {
  Rect rect;
  bool changed = false, submitted = false, cancelled = false;  // Enter, Esc
  bool focused = false, lost_focus = false;
};

class TextEditor {
 public:
  explicit TextEditor(bool several_lines = true, size_t limit = 64 << 10) : several_lines_(several_lines), buffer_(several_lines, limit) {}

  EditorResponse draw(Ui& ui, std::string_view id, const Rect& rect, const EditorOptions& options);

  EditBuffer& buffer() { return buffer_; }
  const std::string& text() const { return buffer_.text(); }
  void set_text(std::string_view text) { buffer_.set_text(text); }
  void take_focus() { wants_focus_ = true; }
  bool focused() const { return focused_; }
  // Height of the text at this width, in pixels.
  float height_of(Ui& ui, Face face, float width);

 private:
  void handle_keys(Ui& ui, const EditorOptions& options, EditorResponse& response);
  bool handle_motion(Ui& ui, int key, int modifiers);
  void handle_clipboard(Ui& ui);
  void move_line(const Style& style, int lines, bool keep);
  void handle_mouse(Ui& ui, const Response& response, const Rect& inner, const Style& style, float line_height);
  void keep_cursor_visible(Ui& ui, const Rect& inner, const Style& style, float line_height);
  void paint(Ui& ui, const Rect& inner, const EditorOptions& options);
  void context_menu(Ui& ui, const Response& response);

  bool several_lines_;
  EditBuffer buffer_;
  std::vector<TextLine> lines_;
  float scroll_ = 0;     // pixels: down in many lines, right in one
  float wanted_x_ = -1;  // column that up and down keep
  uint64_t seen_version_ = 0;
  size_t seen_cursor_ = 0;
  bool focused_ = false, wants_focus_ = false, mouse_selects_ = false;
  double caret_since_ = 0;
};

}  // namespace linea::studio
