#include "app/studio/number_field.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

#include <charconv>
#include <cmath>

#include "app/studio/clipboard.h"
#include "app/studio/widgets.h"

namespace linea::studio {
namespace {

double put_right(double value, const NumberRange& range) {
  const double steps = std::round(value / range.step) * range.step;
  return std::clamp(range.decimals == 0 ? std::round(steps) : steps, range.low, range.high);
}

bool parse(const std::string& text, double& value) {
  const size_t start = text.find_first_not_of(" \t");
  if (start == std::string::npos) return false;
  const auto [end, error] = std::from_chars(text.data() + start, text.data() + text.size(), value);
  return error == std::errc() && std::isfinite(value) && std::string_view(end).find_first_not_of(" \t") == std::string_view::npos;
}

}  // namespace

std::string number_text(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

bool NumberField::draw(Ui& ui, std::string_view id, const Rect& rect, std::string_view label, double& value, const NumberRange& range,
                       std::string_view tip) {
  const double before = value;
  if (editing_) {
    edit(ui, id, rect, label, value, range);
    return value != before;
  }
  const IdScope scope(id);
  const std::string shown = number_text(value, range.decimals);
  const Response r = ui.item(id, rect, ItemKind::kField, label, {.enter_clicks = false, .value = shown});
  paint(ui, r, label, shown, value, range);
  ui.tip(r, tip, "drag, wheel, arrows, or type");
  if (r.hovered) ImGui::SetMouseCursor(ImGuiMouseCursor_ResizeEW);

  const ImVec2 mouse = ImGui::GetIO().MousePos;
  if (r.pressed) dragging_ = false, drag_start_x_ = mouse.x, drag_start_ = value;
  if (r.held && std::abs(mouse.x - drag_start_x_) > ui.px(3)) dragging_ = true;
  if (r.held && dragging_) {
    const double span = range.slider_high > range.slider_low ? range.slider_high - range.slider_low : 100 * range.step;
    value = put_right(drag_start_ + span * (mouse.x - drag_start_x_) / std::max(1.0f, rect.w), range);
  }
  const double stride = range.step * ((ui.input().modifiers() & kShift) != 0 ? 10 : 1);
  if (r.hovered && r.focused && ImGui::GetIO().MouseWheel != 0)
    value = put_right(value + stride * (ImGui::GetIO().MouseWheel > 0 ? 1 : -1), range);
  bool type = false;
  if (r.focused) {
    Input& in = ui.input();
    for (const int modifiers : {0, static_cast<int>(kShift)}) {
      if (in.pressed(GLFW_KEY_UP, modifiers) || in.pressed(GLFW_KEY_RIGHT, modifiers)) value = put_right(value + stride, range);
      if (in.pressed(GLFW_KEY_DOWN, modifiers) || in.pressed(GLFW_KEY_LEFT, modifiers)) value = put_right(value - stride, range);
    }
    type = in.pressed(GLFW_KEY_ENTER) || in.has_text();
  }
  if (r.double_clicked) {
    value = range.fallback;
  } else if ((r.clicked && !dragging_) || type) {
    editing_ = true;
    editor_ = TextEditor(false, 40);
    editor_.set_text(shown);
    editor_.buffer().select_all();
    editor_.take_focus();
    ui.animate();
  }
  if (r.right_clicked) ImGui::OpenPopup("number");
  context_menu(ui, value, range);
  return value != before;
}

void NumberField::paint(Ui& ui, const Response& r, std::string_view label, const std::string& shown, double value,
                        const NumberRange& range) {
  const Rect& rect = r.rect;
  ui.fill(rect, r.hovered || r.held ? ui.colors().hover : ui.colors().raised, 6);
  ui.frame(rect, ui.colors().line, 6);
  if (r.focused) ui.focus_ring(rect);
  if (range.slider_high > range.slider_low) {
    const float part = static_cast<float>(std::clamp((value - range.slider_low) / (range.slider_high - range.slider_low), 0.0, 1.0));
    const Rect track{rect.x + ui.px(6), rect.bottom() - ui.px(5), rect.w - ui.px(12), ui.px(2)};
    ui.fill(track, ui.colors().line, 1);
    if (part > 0) ui.fill({track.x, track.y, track.w * part, track.h}, ui.colors().accent, 1);
  }
  ui.text_in({rect.x + ui.px(10), rect.y, rect.w - ui.px(20), rect.h}, label, Face::kSmall, ui.colors().quiet);
  ui.text_in({rect.x + ui.px(10), rect.y, rect.w - ui.px(20), rect.h}, shown, Face::kMono, ui.colors().text, 1);
}

bool NumberField::edit(Ui& ui, std::string_view id, const Rect& rect, std::string_view label, double& value, const NumberRange& range) {
  const EditorResponse e = editor_.draw(ui, id, rect, {.label = label, .face = Face::kMono});
  // A second click soon after the first one is the double click that asks for the default.
  if (ImGui::IsMouseDoubleClicked(0) && rect.contains(ImGui::GetIO().MousePos)) {
    value = range.fallback;
    editing_ = false;
    return true;
  }
  double typed = 0;
  if (e.submitted || e.lost_focus) {
    if (parse(editor_.text(), typed)) value = std::clamp(range.decimals == 0 ? std::round(typed) : typed, range.low, range.high);
    editing_ = false;
  }
  if (e.cancelled) {
    editing_ = false;
    ui.input().pressed(GLFW_KEY_ESCAPE);
  }
  return false;
}

void NumberField::context_menu(Ui& ui, double& value, const NumberRange& range) {
  const PopupScope popup(ui, "number", {-1, -1}, 0);
  if (!popup) return;
  if (menu_row(ui, "number/copy", Icon::kCopy, "Copy")) clipboard::set(number_text(value, range.decimals));
  if (menu_row(ui, "number/paste", Icon::kBlank, "Paste")) {
    double pasted = 0;
    if (parse(clipboard::get(), pasted)) value = put_right(pasted, range);
  }
  if (menu_row(ui, "number/default", Icon::kRefresh, "Default " + number_text(range.fallback, range.decimals))) value = range.fallback;
}

}  // namespace linea::studio
