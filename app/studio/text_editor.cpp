#include "app/studio/text_editor.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

#include <cmath>

#include "app/studio/clipboard.h"
#include "app/studio/utf8.h"
#include "app/studio/widgets.h"

namespace linea::studio {

float TextEditor::height_of(Ui& ui, Face face, float width) {
  return static_cast<float>(wrap_text(ui.style(face), buffer_.text(), width).size()) * ui.line_height(face);
}

EditorResponse TextEditor::draw(Ui& ui, std::string_view id, const Rect& rect, const EditorOptions& o) {
  EditorResponse response{.rect = rect};
  const IdScope scope(id);
  const Response r = ui.item(id, rect, ItemKind::kField, o.label, {.enter_clicks = false, .value = buffer_.text()});
  if (wants_focus_) {
    ui.focus(r.key);
    wants_focus_ = false;
    ui.animate();
  }
  const bool focused = ui.focused() == r.key;
  response.lost_focus = focused_ && !focused;
  if (focused && !focused_) caret_since_ = ui.time();
  focused_ = response.focused = focused;

  const Style& style = ui.style(o.face);
  const float height = ui.line_height(o.face);
  Rect inner = o.framed ? Rect{rect.x + ui.px(10), rect.y + ui.px(8), rect.w - ui.px(20), rect.h - ui.px(16)} : rect;
  if (!several_lines_) inner = {inner.x, rect.center().y - height / 2, inner.w, height};
  const Rect icon_place = cut_left(inner, o.icon == Icon::kNone ? 0 : ui.px(22));
  lines_ = wrap_text(style, buffer_.text(), several_lines_ ? inner.w : 0);

  const uint64_t before = buffer_.version();
  if (focused) {
    ui.claim_typing();
    handle_keys(ui, o, response);
  }
  if (buffer_.version() != before) lines_ = wrap_text(style, buffer_.text(), several_lines_ ? inner.w : 0);
  handle_mouse(ui, r, inner, style, height);
  const uint64_t before_menu = buffer_.version();
  context_menu(ui, r);
  if (buffer_.version() != before_menu) lines_ = wrap_text(style, buffer_.text(), several_lines_ ? inner.w : 0);
  response.changed = buffer_.version() != seen_version_;
  if (response.changed || buffer_.cursor() != seen_cursor_) {
    seen_version_ = buffer_.version(), seen_cursor_ = buffer_.cursor();
    caret_since_ = ui.time();
    keep_cursor_visible(ui, inner, style, height);
  }
  if (o.framed) {
    ui.fill(rect, ui.colors().window, 6);
    ui.frame(rect, focused ? ui.colors().accent : r.hovered ? ui.colors().quiet : ui.colors().line, 6);
  }
  if (o.icon != Icon::kNone) ui.icon(o.icon, {icon_place.x - ui.px(3), icon_place.y, ui.px(20), icon_place.h}, ui.colors().quiet, 15);
  paint(ui, inner, o);
  if (r.hovered) ImGui::SetMouseCursor(ImGuiMouseCursor_TextInput);
  if (!focused) ui.tip(r, o.tip);
  return response;
}

void TextEditor::handle_keys(Ui& ui, const EditorOptions& o, EditorResponse& response) {
  handle_clipboard(ui);
  const std::string typed = ui.input().take_text();
  // Presses are taken in order, so that fast typing of text and keys stays right.
  for (const KeyPress press : std::vector<KeyPress>(ui.input().presses())) {
    if (press.used) continue;
    const int m = press.modifiers;
    bool used = true;
    if (press.key == GLFW_KEY_ENTER || press.key == GLFW_KEY_KP_ENTER) {
      const bool breaks = several_lines_ && (o.enter_submits ? m == kShift : m == 0);
      if (breaks) {
        buffer_.insert("\n");
      } else if (m == 0) {
        response.submitted = true;
      } else {
        used = false;
      }
    } else if (press.key == GLFW_KEY_ESCAPE && m == 0) {
      response.cancelled = true;
      used = false;
    } else if (press.key == GLFW_KEY_BACKSPACE || press.key == GLFW_KEY_DELETE) {
      buffer_.erase(press.key == GLFW_KEY_BACKSPACE ? -1 : 1, m == kControl);
    } else {
      used = handle_motion(ui, press.key, m);
    }
    if (used) ui.input().pressed(press.key, m);
  }
  if (!typed.empty()) buffer_.insert(typed);
}

bool TextEditor::handle_motion(Ui& ui, int key, int m) {
  const bool keep = (m & kShift) != 0, word = (m & kControl) != 0;
  if ((m & kAlt) != 0) return false;
  const Style& style = ui.style(Face::kText);
  switch (key) {
    case GLFW_KEY_LEFT:
    case GLFW_KEY_RIGHT: {
      const int direction = key == GLFW_KEY_LEFT ? -1 : 1;
      if (word) {
        buffer_.move_word(direction, keep);
      } else {
        buffer_.move_character(direction, keep);
      }
      wanted_x_ = -1;
      return true;
    }
    case GLFW_KEY_UP:
    case GLFW_KEY_DOWN:
      if (!several_lines_ || word) return false;
      move_line(style, key == GLFW_KEY_UP ? -1 : 1, keep);
      return true;
    case GLFW_KEY_HOME:
    case GLFW_KEY_END: {
      const TextLine& line = lines_[line_of(lines_, buffer_.cursor())];
      const size_t end = line.hard || line.end == buffer_.text().size() ? line.end : previous_character(buffer_.text(), line.end);
      if (word) {
        buffer_.move_to(key == GLFW_KEY_HOME ? 0 : buffer_.text().size(), keep);
      } else {
        buffer_.move_to(key == GLFW_KEY_HOME ? line.start : end, keep);
      }
      wanted_x_ = -1;
      return true;
    }
    default: return false;
  }
}

void TextEditor::move_line(const Style& style, int step, bool keep) {
  const size_t at = line_of(lines_, buffer_.cursor());
  if (wanted_x_ < 0) wanted_x_ = x_of(style, buffer_.text(), lines_[at], buffer_.cursor());
  const float x = wanted_x_;
  if (step < 0 && at == 0) {
    buffer_.move_to(0, keep);
  } else if (step > 0 && at + 1 == lines_.size()) {
    buffer_.move_to(buffer_.text().size(), keep);
  } else {
    const TextLine& line = lines_[at + static_cast<size_t>(step)];
    size_t target = byte_at(style, buffer_.text(), line, x);
    if (!line.hard && target == line.end && line.end < buffer_.text().size()) target = previous_character(buffer_.text(), target);
    buffer_.move_to(target, keep);
  }
  wanted_x_ = x;
}

void TextEditor::handle_clipboard(Ui& ui) {
  Input& in = ui.input();
  if (in.pressed(GLFW_KEY_A, kControl)) buffer_.select_all();
  if (buffer_.has_selection()) {  // without one, Ctrl+C may be meant for text elsewhere
    const bool cut = in.pressed(GLFW_KEY_X, kControl);
    if (cut || in.pressed(GLFW_KEY_C, kControl)) clipboard::set(buffer_.selected());
    if (cut) buffer_.erase(1, false);
  }
  if (in.pressed(GLFW_KEY_V, kControl)) buffer_.insert(clipboard::get());
  if (in.pressed(GLFW_KEY_Z, kControl)) buffer_.undo();
  if (in.pressed(GLFW_KEY_Z, kControl | kShift) || in.pressed(GLFW_KEY_Y, kControl)) buffer_.redo();
}

void TextEditor::handle_mouse(Ui& ui, const Response& r, const Rect& inner, const Style& style, float line_height) {
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  const auto byte_under = [&] {
    const float y = mouse.y - inner.y + (several_lines_ ? scroll_ : 0);
    const size_t row = static_cast<size_t>(std::clamp(y / line_height, 0.0f, static_cast<float>(lines_.size() - 1)));
    const TextLine& line = lines_[row];
    size_t at = byte_at(style, buffer_.text(), line, mouse.x - inner.x + (several_lines_ ? 0 : scroll_));
    if (!line.hard && at == line.end && line.end < buffer_.text().size()) at = previous_character(buffer_.text(), at);
    return at;
  };
  if (r.double_clicked) {
    buffer_.select_word_at(byte_under());
    mouse_selects_ = false;
  } else if (r.pressed) {
    buffer_.move_to(byte_under(), (ui.input().modifiers() & kShift) != 0);
    mouse_selects_ = true;
    wanted_x_ = -1;
  } else if (r.held && mouse_selects_) {
    buffer_.move_to(byte_under(), true);
  }
  if (r.hovered && several_lines_ && ImGui::GetIO().MouseWheel != 0) {
    const float most = std::max(0.0f, static_cast<float>(lines_.size()) * line_height - inner.h);
    scroll_ = std::clamp(scroll_ - ImGui::GetIO().MouseWheel * 3 * line_height, 0.0f, most);
  }
}

void TextEditor::keep_cursor_visible(Ui& ui, const Rect& inner, const Style& style, float line_height) {
  const size_t row = line_of(lines_, buffer_.cursor());
  if (several_lines_) {
    const float top = static_cast<float>(row) * line_height,
                most = std::max(0.0f, static_cast<float>(lines_.size()) * line_height - inner.h);
    scroll_ = std::clamp(scroll_, top + line_height - inner.h, top);
    scroll_ = std::clamp(scroll_, 0.0f, most);
    return;
  }
  const float x = x_of(style, buffer_.text(), lines_[0], buffer_.cursor()), width = text_width(style, buffer_.text());
  scroll_ = std::clamp(scroll_, x + ui.px(2) - inner.w, x);
  scroll_ = std::clamp(scroll_, 0.0f, std::max(0.0f, width + ui.px(2) - inner.w));
}

void TextEditor::paint(Ui& ui, const Rect& inner, const EditorOptions& o) {
  const ClipScope clip({inner.x - ui.px(2), inner.y - ui.px(2), inner.w + ui.px(4), inner.h + ui.px(4)});
  const Style& style = ui.style(o.face);
  const std::string_view text = buffer_.text();
  const float height = ui.line_height(o.face), left = inner.x - (several_lines_ ? 0 : scroll_),
              top = inner.y - (several_lines_ ? scroll_ : 0);
  if (text.empty() && !o.placeholder.empty()) ui.text_in({inner.x, inner.y, inner.w, height}, o.placeholder, o.face, ui.colors().quiet);
  const size_t first = static_cast<size_t>(std::max(0.0f, (inner.y - top) / height));
  for (size_t row = first; row < lines_.size(); ++row) {
    const TextLine& line = lines_[row];
    const float y = top + static_cast<float>(row) * height;
    if (y > inner.bottom()) break;
    const size_t from = std::max(line.start, buffer_.selection_start()), to = std::min(line.end, buffer_.selection_end());
    if (focused_ && buffer_.has_selection() && from <= to && buffer_.selection_end() > line.start) {
      const float x0 = left + x_of(style, text, line, from), x1 = left + x_of(style, text, line, to);
      ui.fill({x0, y, std::max(x1 - x0, line.hard && buffer_.selection_end() > line.end ? ui.px(5) : 0.0f), height}, ui.colors().selection);
    }
    ui.draw_text({left, y}, text.substr(line.start, line.end - line.start), o.face, ui.colors().text);
  }
  if (!focused_) return;
  const size_t row = line_of(lines_, buffer_.cursor());
  const float x = left + x_of(style, text, lines_[row], buffer_.cursor()), y = top + static_cast<float>(row) * height;
  ui.fill({std::round(x), y + ui.px(2), std::max(1.0f, ui.px(1.5f)), height - ui.px(4)}, ui.colors().accent);
}

void TextEditor::context_menu(Ui& ui, const Response& r) {
  if (r.right_clicked) {
    ui.focus(r.key);
    ImGui::OpenPopup("edit");
  }
  const PopupScope popup(ui, "edit", {-1, -1}, 0);
  if (!popup) return;
  if (menu_row(ui, "edit/cut", Icon::kNone, "Cut", "Ctrl+X", buffer_.has_selection())) {
    clipboard::set(buffer_.selected());
    buffer_.erase(1, false);
  }
  if (menu_row(ui, "edit/copy", Icon::kNone, "Copy", "Ctrl+C", buffer_.has_selection())) clipboard::set(buffer_.selected());
  if (menu_row(ui, "edit/paste", Icon::kNone, "Paste", "Ctrl+V")) buffer_.insert(clipboard::get());
  if (menu_row(ui, "edit/all", Icon::kNone, "Select all", "Ctrl+A")) buffer_.select_all();
  if (menu_row(ui, "edit/undo", Icon::kNone, "Undo", "Ctrl+Z")) buffer_.undo();
}

}  // namespace linea::studio
