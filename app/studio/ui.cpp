#include "app/studio/ui.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

#include <cfloat>
#include <cmath>
#include <utility>

#include "app/studio/utf8.h"

namespace linea::studio {

void Ui::begin_frame(const Palette& palette, float scale) {
  palette_ = &palette;
  scale_ = scale;
  items_.clear();
  typed_last_ = std::exchange(typing_, false);
  tip_seen_ = false;
  focus_drawn_ = false;
  if (input_.down(0)) focus_visible_ = false;
}

void Ui::end_frame() {
  traverse();
  if (!tip_seen_) tip_key_ = 0;
  std::swap(items_, last_items_);
}

// Tab and Shift+Tab go through the items in the order in which they were drawn.
void Ui::traverse() {
  int step = 0;
  if (input_.pressed(GLFW_KEY_TAB)) step = 1;
  if (input_.pressed(GLFW_KEY_TAB, kShift)) step = -1;
  if (step == 0) return;
  std::vector<ImGuiID> keys;
  for (const Item& item : items_) {
    if (item.enabled && item.focusable) keys.push_back(item.key);
  }
  if (keys.empty()) return;
  const auto at = std::find(keys.begin(), keys.end(), focus_);
  const auto count = static_cast<std::ptrdiff_t>(keys.size());
  std::ptrdiff_t next = at == keys.end() ? (step > 0 ? 0 : count - 1) : (at - keys.begin() + step + count) % count;
  focus_ = reveal_ = keys[static_cast<size_t>(next)];
  focus_visible_ = true;
  animate();
}

ImU32 Ui::color(uint32_t rgb, float alpha) const {
  return IM_COL32(rgb >> 16 & 255, rgb >> 8 & 255, rgb & 255, static_cast<int>(std::lround(alpha * ImGui::GetStyle().Alpha * 255)));
}

void Ui::draw_text(ImVec2 at, std::string_view text, Face face, uint32_t rgb, float alpha) {
  const Style& s = style(face);
  fonts_.want(text);
  const float top = at.y + (line_height(face) - s.size) / 2;
  list().AddText(s.font, s.size, {std::round(at.x), std::round(top)}, color(rgb, alpha), text.data(), text.data() + text.size());
}

std::string Ui::shortened(std::string_view text, Face face, float width) {
  const Style& s = style(face);
  const size_t line = text.find('\n');
  if (line == std::string_view::npos && text_width(s, text) <= width) return std::string(text);
  text = text.substr(0, line);
  const float dots = text_width(s, "…");
  float used = 0;
  size_t at = 0;
  while (at < text.size()) {
    size_t next = at;
    used += advance(s, decode_utf8(text, next));
    if (used + dots > width) break;
    at = next;
  }
  return std::string(text.substr(0, at)) + "…";
}

float Ui::text_in(const Rect& rect, std::string_view text, Face face, uint32_t rgb, float align) {
  const std::string cut = shortened(text, face, rect.w + 0.5f);
  const float width = text_width(style(face), cut);
  draw_text({rect.x + (rect.w - width) * align, rect.y + (rect.h - line_height(face)) / 2}, cut, face, rgb);
  return width;
}

Response Ui::item(std::string_view id, const Rect& rect, ItemKind kind, std::string_view label, const ItemOptions& options) {
  Response r{.rect = rect};
  const ImVec2 cursor = ImGui::GetCursorScreenPos();
  ImGui::SetCursorScreenPos(rect.min());
  r.key = ImGui::GetID(id.data(), id.data() + id.size());
  ImGui::PushID(static_cast<int>(r.key));
  const bool clicked = ImGui::InvisibleButton("item", {std::max(1.0f, rect.w), std::max(1.0f, rect.h)});
  ImGui::PopID();
  if (reveal_ == r.key) {
    ImGui::SetScrollHereY(0.5f);
    reveal_ = 0;
    animate();
  }
  r.hovered = ImGui::IsItemHovered();  // also of what is disabled, whose tooltip says why
  if (options.enabled) {
    r.held = ImGui::IsItemActive();
    r.pressed = ImGui::IsItemActivated();
    r.clicked = clicked;
    r.double_clicked = r.hovered && ImGui::IsMouseDoubleClicked(0);
    r.right_clicked = r.hovered && ImGui::IsMouseClicked(1);
    if (r.pressed && options.focusable) focus_ = r.key, focus_visible_ = false;
    r.focused = focus_ == r.key && options.focusable && !covered_;
    if (r.focused && options.enter_clicks &&
        (input_.pressed(GLFW_KEY_ENTER) || input_.pressed(GLFW_KEY_KP_ENTER) || (!typing() && input_.pressed(GLFW_KEY_SPACE)))) {
      r.clicked = true;
      input_.take_text();
    }
    clicks_ += r.clicked ? 1 : 0;
  }
  const ImVec2 low = list().GetClipRectMin(), high = list().GetClipRectMax();
  const Rect visible = rect.intersect({low.x, low.y, high.x - low.x, high.y - low.y});
  Item& record = items_.emplace_back();
  record.key = r.key;
  record.focusable = options.focusable && !covered_;
  record.kind = kind;
  record.enabled = options.enabled;
  if (recording) {
    record.id = id, record.label = label, record.value = options.value;
    record.rect = rect, record.visible = visible, record.focused = r.focused;
  }
  ImGui::SetCursorScreenPos(cursor);
  return r;
}

void Ui::readable(std::string_view id, const Rect& rect, std::string_view label, std::string_view value) {
  if (!recording) return;
  const ImVec2 low = list().GetClipRectMin(), high = list().GetClipRectMax();
  Item& record = items_.emplace_back();
  record.id = id, record.label = label, record.value = value;
  record.kind = ItemKind::kText;
  record.focusable = false;
  record.rect = rect;
  record.visible = rect.intersect({low.x, low.y, high.x - low.x, high.y - low.y});
}

void Ui::focus_id(std::string_view id) { focus_ = ImGui::GetID(id.data(), id.data() + id.size()); }

void Ui::focus_ring(const Rect& rect, float rounding) {
  if (!focus_visible_) return;
  const Rect r = rect.inset(-px(2));
  list().AddRect(r.min(), r.max(), color(colors().accent), px(rounding + 2), 0, px(1.5f));
}

void Ui::tip(const Response& response, std::string_view text, std::string_view shortcut) {
  if (!response.hovered || response.held || text.empty()) return;
  tip_seen_ = true;
  if (tip_key_ != response.key) tip_key_ = response.key, tip_since_ = time();
  if (time() - tip_since_ < 0.45) {
    animate();
    return;
  }
  readable("tip", response.rect, text);
  const float width = px(300);
  ImGui::SetNextWindowPos({std::min(response.rect.x, ImGui::GetIO().DisplaySize.x - width - px(28)), response.rect.bottom() + px(6)},
                          ImGuiCond_Always, {0, response.rect.bottom() + px(120) > ImGui::GetIO().DisplaySize.y ? 1.0f : 0.0f});
  if (response.rect.bottom() + px(120) > ImGui::GetIO().DisplaySize.y) {
    ImGui::SetNextWindowPos({std::min(response.rect.x, ImGui::GetIO().DisplaySize.x - width - px(28)), response.rect.y - px(6)},
                            ImGuiCond_Always, {0, 1});
  }
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {px(10), px(8)});
  ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, px(6));
  ImGui::BeginTooltip();
  ImGui::PushTextWrapPos(width);
  const Style& s = style(Face::kSmall);
  const ImVec2 size = s.font->CalcTextSizeA(s.size, FLT_MAX, width, text.data(), text.data() + text.size());
  const ImVec2 at = ImGui::GetCursorScreenPos();
  list().AddText(s.font, s.size, at, color(colors().text), text.data(), text.data() + text.size(), width);
  float height = size.y, wide = size.x;
  if (!shortcut.empty()) {
    draw_text({at.x, at.y + size.y + px(3)}, shortcut, Face::kMonoSmall, colors().quiet);
    height += px(3) + line_height(Face::kMonoSmall);
    wide = std::max(wide, text_width(style(Face::kMonoSmall), shortcut));
  }
  ImGui::Dummy({wide, height});
  ImGui::PopTextWrapPos();
  ImGui::EndTooltip();
  ImGui::PopStyleVar(2);
}

void Ui::tip_where_cut(const Response& response, std::string_view text, Face face, float width) {
  if (!response.hovered || shortened(text, face, width + 0.5f) == text) return;
  constexpr size_t kMost = 600;
  tip(response, text.size() > kMost ? std::string(text.substr(0, previous_character(text, kMost))) + "…" : std::string(text));
}

Rect Ui::place(float width, float height) {
  const ImVec2 at = ImGui::GetCursorScreenPos();
  const Rect rect{at.x, at.y, width > 0 ? width : rest(), height};
  ImGui::Dummy({std::max(1.0f, rect.w), std::max(1.0f, rect.h)});
  return rect;
}

void Ui::fill(const Rect& r, uint32_t rgb, float rounding, float alpha) {
  list().AddRectFilled(r.min(), r.max(), color(rgb, alpha), px(rounding));
}

void Ui::frame(const Rect& r, uint32_t rgb, float rounding) {
  const float half = std::max(1.0f, px(1)) / 2;
  list().AddRect({r.x + half, r.y + half}, {r.right() - half, r.bottom() - half}, color(rgb), px(rounding), 0, std::max(1.0f, px(1)));
}

void Ui::icon(Icon icon, const Rect& rect, uint32_t rgb, float at_scale_1) {
  const ImVec2 c = rect.center();
  draw_icon(list(), icon, {std::round(c.x), std::round(c.y)}, px(at_scale_1), color(rgb));
}

ChildScope::ChildScope(const char* id, const Rect& rect, ImVec2 padding, bool scrollbar) {
  ImGui::SetCursorScreenPos(rect.min());
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, padding);
  ImGui::PushStyleColor(ImGuiCol_ChildBg, IM_COL32(0, 0, 0, 0));
  const ImGuiWindowFlags still = scrollbar ? 0 : ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse;
  const ImVec2 size{std::max(1.0f, rect.w), std::max(1.0f, rect.h)};
#if IMGUI_VERSION_NUM >= 19000
  ImGui::BeginChild(id, size, ImGuiChildFlags_AlwaysUseWindowPadding, ImGuiWindowFlags_NoNav | still);
#else
  ImGui::BeginChild(id, size, false, ImGuiWindowFlags_NoNav | ImGuiWindowFlags_AlwaysUseWindowPadding | still);
#endif
  ImGui::PopStyleColor();
  ImGui::PopStyleVar();
}

PopupScope::PopupScope(Ui& ui, const char* id, ImVec2 at, float width) {
  if (at.x >= 0) ImGui::SetNextWindowPos(at);
  if (width > 0) ImGui::SetNextWindowSize({width, 0});
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {ui.px(6), ui.px(6)});
  open_ = ImGui::BeginPopup(id, ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoNav);
  ImGui::PopStyleVar();
  if (open_ && ui.input().pressed(GLFW_KEY_ESCAPE)) ImGui::CloseCurrentPopup();
}

PopupScope::~PopupScope() {
  if (open_) ImGui::EndPopup();
}

}  // namespace linea::studio
