// app/studio/widgets.h: buttons, switches, lists and labels in the studio's look. Controls are 32 high; corners are round by 6.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "app/studio/ui.h"

namespace linea::studio {

inline constexpr float kControlHeight = 32;

enum class ButtonLook : uint8_t { kQuiet, kOutlined, kPrimary, kSelected, kDanger };

struct ButtonOptions {
  Icon icon = Icon::kNone;
  ButtonLook look = ButtonLook::kQuiet;
  bool enabled = true;
  std::string_view tip{}, shortcut{};
  bool left = false;  // text at the left edge instead of the middle
};

// With an empty text: only the icon, in a square; `label` then is what scripts and tooltips call it.
Response button(Ui& ui, std::string_view id, const Rect& rect, std::string_view text, const ButtonOptions& options = {});
Response icon_button(Ui& ui, std::string_view id, const Rect& rect, Icon icon, std::string_view label, const ButtonOptions& options = {});
// As wide as its text.
float button_width(Ui& ui, std::string_view text, Icon icon = Icon::kNone);

// A quiet line above a control.
void caption(Ui& ui, std::string_view text);
// A line of text at the cursor; wrapped where it is longer than the line.
Rect line(Ui& ui, std::string_view text, Face face, uint32_t rgb, std::string_view id = {});
Rect paragraph(Ui& ui, std::string_view text, Face face, uint32_t rgb, float width = 0, std::string_view id = {});

// A choice among texts; returns true when `index` changed.
struct Choice {
  std::string text, detail{};
};
bool dropdown(Ui& ui, std::string_view id, const Rect& rect, std::string_view label, std::span<const Choice> choices, int& index,
              std::string_view tip = {}, std::string_view none = "–");  // `none` is shown when the index is no choice's
// Two or more texts side by side, one of them chosen.
bool segments(Ui& ui, std::string_view id, const Rect& rect, std::span<const std::string> texts, int& index, std::string_view tip = {});
bool toggle(Ui& ui, std::string_view id, std::string_view text, bool& on, std::string_view tip = {});

// A line that opens what is below it.
bool fold(Ui& ui, std::string_view id, std::string_view text, bool& open);

// Five stars in a row from its left edge, `lit` of them filled. Returns the one that was clicked, 0 for none. Ids are `id` with 1 to 5.
struct StarTexts {
  std::string_view label, tip{};  // `label` follows the number
  bool keys = false;              // the number is also a key
};
int star_row(Ui& ui, std::string_view id, Rect row, int lit, const StarTexts& texts);

void progress_bar(Ui& ui, const Rect& rect, float fraction, uint32_t rgb);  // negative fraction: unknown
void separator(Ui& ui);

// A row of a popup menu.
bool menu_row(Ui& ui, std::string_view id, Icon icon, std::string_view text, std::string_view shortcut = {}, bool enabled = true);

// A vertical edge that can be dragged: changes `width` (at scale 1) within the limits. `sign` 1: the panel lies left of the edge.
void drag_edge(Ui& ui, std::string_view id, const Rect& edge, float& width, float low, float high, float sign);

}  // namespace linea::studio
