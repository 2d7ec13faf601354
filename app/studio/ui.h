// app/studio/ui.h: one frame of the interface: colours, sizes, text, and the items that mouse, keyboard and scripts act on.
//
// Everything that can be clicked or read by a script is an item with a stable id ("create/steps") and a label. The list of a frame's items
// serves keyboard traversal (Tab), scripts and tests alike. Sizes are given at scale 1 (1 em = 15) and multiplied by px().
#pragma once

#include <imgui.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/studio/fonts.h"
#include "app/studio/geometry.h"
#include "app/studio/icons.h"
#include "app/studio/input.h"
#include "app/studio/palette.h"

namespace linea::studio {

enum class ItemKind : uint8_t { kButton, kToggle, kField, kText, kPicture, kRow, kArea };

// What a script sees of an item.
struct Item {
  ImGuiID key = 0;
  std::string id, label, value;
  ItemKind kind = ItemKind::kButton;
  Rect rect, visible;  // whole, and the part that is not scrolled or clipped away
  bool enabled = true, focusable = true, focused = false;
};

struct Response {
  Rect rect;
  ImGuiID key = 0;
  bool hovered = false, held = false, focused = false;
  bool clicked = false;  // by mouse, Enter or Space
  bool pressed = false;  // the mouse button went down on it
  bool double_clicked = false, right_clicked = false;
};

struct ItemOptions {
  bool enabled = true;
  bool focusable = true;
  bool enter_clicks = true;  // Enter and Space on the focused item count as a click
  std::string_view value{};
};

class Ui {
 public:
  Ui(Fonts& fonts, Input& input) : fonts_(fonts), input_(input) {}

  void begin_frame(const Palette& palette, float scale);
  void end_frame();

  float px(float at_scale_1) const { return at_scale_1 * scale_; }
  float scale() const { return scale_; }
  const Palette& colors() const { return *palette_; }
  ImU32 color(uint32_t rgb, float alpha = 1) const;
  Input& input() { return input_; }
  Fonts& fonts() { return fonts_; }
  double time() const { return ImGui::GetTime(); }

  // --- Text.
  const Style& style(Face face) const { return fonts_.style(face); }
  float line_height(Face face) const { return fonts_.style(face).size * 1.4f; }
  void draw_text(ImVec2 at, std::string_view text, Face face, uint32_t rgb, float alpha = 1);  // one line, `at` = top left of the line box
  // One line in the rectangle: cut with "…" where it does not fit. align 0 = left, 0.5, 1 = right. Returns its width.
  float text_in(const Rect& rect, std::string_view text, Face face, uint32_t rgb, float align = 0);
  std::string shortened(std::string_view text, Face face, float width);

  // --- Items.
  Response item(std::string_view id, const Rect& rect, ItemKind kind, std::string_view label, const ItemOptions& options = {});
  // What can only be read: for scripts.
  void readable(std::string_view id, const Rect& rect, std::string_view label, std::string_view value = {});
  const std::vector<Item>& items() const { return last_items_; }  // of the frame before
  void focus(ImGuiID key) { focus_ = key; }
  long clicks() const { return clicks_; }  // that items answered, since the start
  void focus_id(std::string_view id);      // where the item lies in this window
  ImGuiID focused() const { return focus_; }
  void reveal(ImGuiID key) { reveal_ = key; }  // scrolls to it in the next frame
  void focus_ring(const Rect& rect, float rounding = 6);

  // Explains an item after half a second of hovering.
  void tip(const Response& response, std::string_view text, std::string_view shortcut = {});
  // The whole text, where `text_in` had to cut it.
  void tip_where_cut(const Response& response, std::string_view text, Face face, float width);

  // --- Flow: rectangles one below the other at ImGui's cursor.
  Rect place(float width, float height);  // width <= 0: the rest of the line
  float rest() const { return ImGui::GetContentRegionAvail().x; }
  void gap(float at_scale_1) { ImGui::Dummy({0, px(at_scale_1)}); }

  // Something moves: draw the next frame at once.
  void animate() { animate_ = true; }
  bool take_animate() { return std::exchange(animate_, false); }
  bool recording = false;  // items keep their labels and values (scripts)

  // While covered, items have no focus.
  void cover(bool covered) { covered_ = covered; }

  // A text editor owns the keyboard: single letters are text, not shortcuts.
  void claim_typing() { typing_ = true; }
  bool typing() const { return typed_last_ || typing_; }

  ImDrawList& list() { return *ImGui::GetWindowDrawList(); }
  void fill(const Rect& rect, uint32_t rgb, float rounding = 0, float alpha = 1);
  void frame(const Rect& rect, uint32_t rgb, float rounding = 0);
  void icon(Icon icon, const Rect& rect, uint32_t rgb, float at_scale_1 = 16);

 private:
  void traverse();

  Fonts& fonts_;
  Input& input_;
  const Palette* palette_ = &dark_palette();
  float scale_ = 1;
  std::vector<Item> items_, last_items_;
  ImGuiID focus_ = 0, reveal_ = 0, tip_key_ = 0;
  bool focus_visible_ = false;  // by keyboard: the ring is drawn
  bool focus_drawn_ = false;
  double tip_since_ = 0;
  bool tip_seen_ = false;
  long clicks_ = 0;
  bool covered_ = false, animate_ = false, typing_ = false, typed_last_ = false;
};

// --- Scopes that close what they opened, also when an exception passes.

class ChildScope {
 public:
  ChildScope(const char* id, const Rect& rect, ImVec2 padding, bool scrollbar = true);
  ~ChildScope() { ImGui::EndChild(); }
  ChildScope(const ChildScope&) = delete;
  ChildScope& operator=(const ChildScope&) = delete;
};

class IdScope {
 public:
  explicit IdScope(std::string_view id) { ImGui::PushID(id.data(), id.data() + id.size()); }
  ~IdScope() { ImGui::PopID(); }
  IdScope(const IdScope&) = delete;
  IdScope& operator=(const IdScope&) = delete;
};

class ClipScope {
 public:
  explicit ClipScope(const Rect& rect) { ImGui::PushClipRect(rect.min(), rect.max(), true); }
  ~ClipScope() { ImGui::PopClipRect(); }
  ClipScope(const ClipScope&) = delete;
  ClipScope& operator=(const ClipScope&) = delete;
};

// A popup that was opened with ImGui::OpenPopup(id). Esc closes it.
class PopupScope {
 public:
  PopupScope(Ui& ui, const char* id, ImVec2 at, float width);
  ~PopupScope();
  explicit operator bool() const { return open_; }
  PopupScope(const PopupScope&) = delete;
  PopupScope& operator=(const PopupScope&) = delete;

 private:
  bool open_ = false;
};

}  // namespace linea::studio
