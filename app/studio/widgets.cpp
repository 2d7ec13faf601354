#include "app/studio/widgets.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

#include <cfloat>
#include <cmath>

#include "app/studio/text_layout.h"

namespace linea::studio {
namespace {

struct ButtonColors {
  uint32_t ground, text;
  bool filled, framed;
};

ButtonColors colors_of(const Palette& p, const ButtonOptions& o, bool hovered) {
  if (o.look == ButtonLook::kPrimary && !o.enabled) return {p.hover, p.quiet, true, true};
  switch (o.look) {
    case ButtonLook::kPrimary: return {hovered ? p.accent_hover : p.accent, p.on_accent, true, false};
    case ButtonLook::kSelected: return {p.hover, p.text, true, false};
    case ButtonLook::kDanger: return {p.hover, p.bad, hovered, true};
    case ButtonLook::kOutlined: return {hovered ? p.hover : p.raised, p.text, true, true};
    case ButtonLook::kQuiet: break;
  }
  return {p.hover, hovered ? p.text : p.quiet, hovered, false};
}

}  // namespace

Response button(Ui& ui, std::string_view id, const Rect& rect, std::string_view text, const ButtonOptions& o) {
  const Response r = ui.item(id, rect, ItemKind::kButton, text, {.enabled = o.enabled});
  const ButtonColors c = colors_of(ui.colors(), o, r.hovered && o.enabled);
  const float alpha = o.enabled ? 1.0f : 0.45f;
  if (c.filled) ui.fill(rect, c.ground, 6, alpha);
  if (c.framed) ui.frame(rect, ui.colors().line, 6);
  if (r.focused) ui.focus_ring(rect);
  const float icon_size = ui.px(16), space = o.icon == Icon::kNone ? 0 : icon_size + ui.px(8);
  const float room = rect.w - ui.px(16) - space;
  const std::string shown = ui.shortened(text, Face::kText, room);
  const float width = text_width(ui.style(Face::kText), shown);
  const float start = o.left ? rect.x + ui.px(8) : rect.x + (rect.w - width - space) / 2;
  if (o.icon != Icon::kNone) {
    draw_icon(ui.list(), o.icon, {std::round(start + icon_size / 2), std::round(rect.center().y)}, icon_size, ui.color(c.text, alpha));
  }
  ui.draw_text({start + space, rect.y + (rect.h - ui.line_height(Face::kText)) / 2}, shown, Face::kText, c.text, alpha);
  ui.tip(r, o.tip, o.shortcut);
  if (r.hovered && o.enabled) ImGui::SetMouseCursor(ImGuiMouseCursor_Hand);
  return r;
}

Response icon_button(Ui& ui, std::string_view id, const Rect& rect, Icon icon, std::string_view label, const ButtonOptions& o) {
  const Response r = ui.item(id, rect, ItemKind::kButton, label, {.enabled = o.enabled});
  const ButtonColors c = colors_of(ui.colors(), o, r.hovered && o.enabled);
  if (c.filled) ui.fill(rect, c.ground, 6);
  if (c.framed) ui.frame(rect, ui.colors().line, 6);
  if (r.focused) ui.focus_ring(rect);
  draw_icon(ui.list(), icon, {std::round(rect.center().x), std::round(rect.center().y)}, ui.px(17),
            ui.color(c.text, o.enabled ? 1.0f : 0.45f));
  ui.tip(r, o.tip.empty() ? label : o.tip, o.shortcut);
  if (r.hovered && o.enabled) ImGui::SetMouseCursor(ImGuiMouseCursor_Hand);
  return r;
}

float button_width(Ui& ui, std::string_view text, Icon icon) {
  return std::ceil(text_width(ui.style(Face::kText), text)) + ui.px(26) + (icon == Icon::kNone ? 0 : ui.px(24));
}

void caption(Ui& ui, std::string_view text) { line(ui, text, Face::kSmall, ui.colors().quiet); }

Rect line(Ui& ui, std::string_view text, Face face, uint32_t rgb, std::string_view id) {
  const Rect rect = ui.place(0, ui.line_height(face));
  ui.text_in(rect, text, face, rgb);
  ui.readable(id, rect, text);
  return rect;
}

Rect paragraph(Ui& ui, std::string_view text, Face face, uint32_t rgb, float width, std::string_view id) {
  ui.fonts().want(text);
  const float room = width > 0 ? width : ui.rest(), height = ui.line_height(face);
  const std::vector<TextLine> lines = wrap_text(ui.style(face), text, room);
  const Rect rect = ui.place(room, height * static_cast<float>(lines.size()));
  for (size_t i = 0; i < lines.size(); ++i) {
    const ImVec2 at{rect.x, rect.y + height * static_cast<float>(i)};
    if (ImGui::IsRectVisible(at, {at.x + room, at.y + height}))
      ui.draw_text(at, text.substr(lines[i].start, lines[i].end - lines[i].start), face, rgb);
  }
  ui.readable(id, rect, text);
  return rect;
}

bool menu_row(Ui& ui, std::string_view id, Icon icon, std::string_view text, std::string_view shortcut, bool enabled) {
  const float shortcut_width = shortcut.empty() ? 0 : text_width(ui.style(Face::kMonoSmall), shortcut) + ui.px(16);
  const float natural = text_width(ui.style(Face::kText), text) + ui.px(52) + shortcut_width;
  const Rect rect = ui.place(std::max(natural, ui.rest()), ui.px(30));
  const Response r = ui.item(id, rect, ItemKind::kButton, text, {.enabled = enabled});
  if ((r.hovered && enabled) || r.focused) ui.fill(rect, ui.colors().hover, 6);
  const uint32_t tone = enabled ? ui.colors().text : ui.colors().quiet;
  Rect rest = rect.inset(0);
  const Rect left = cut_left(rest, ui.px(32));
  if (icon != Icon::kNone) ui.icon(icon, left, ui.colors().quiet);
  if (icon == Icon::kNone) rest.x -= ui.px(22), rest.w += ui.px(22);
  ui.text_in({rest.x, rest.y, rest.w - ui.px(8), rest.h}, text, Face::kText, tone);
  if (!shortcut.empty()) ui.text_in({rest.x, rest.y, rest.w - ui.px(8), rest.h}, shortcut, Face::kMonoSmall, ui.colors().quiet, 1);
  if (r.clicked) ImGui::CloseCurrentPopup();
  return r.clicked;
}

bool dropdown(Ui& ui, std::string_view id, const Rect& rect, std::string_view label, std::span<const Choice> choices, int& index,
              std::string_view tip, std::string_view none) {
  const IdScope scope(id);
  const int count = static_cast<int>(choices.size());
  const std::string shown = index >= 0 && index < count ? choices[static_cast<size_t>(index)].text : std::string(none);
  Response r = ui.item(id, rect, ItemKind::kField, label, {.value = shown});
  ui.fill(rect, r.hovered ? ui.colors().hover : ui.colors().raised, 6);
  ui.frame(rect, ui.colors().line, 6);
  if (r.focused) ui.focus_ring(rect);
  ui.text_in({rect.x + ui.px(10), rect.y, rect.w - ui.px(36), rect.h}, shown, Face::kText, ui.colors().text);
  ui.icon(Icon::kChevronDown, {rect.right() - ui.px(28), rect.y, ui.px(24), rect.h}, ui.colors().quiet, 14);
  ui.tip(r, tip);
  bool changed = false;
  const auto choose = [&](int wanted) {
    changed = wanted != index;
    index = wanted;
  };
  if (r.focused && !ui.typing() && count > 0) {
    if (ui.input().pressed(GLFW_KEY_DOWN)) choose(std::min(index + 1, count - 1));
    if (ui.input().pressed(GLFW_KEY_UP)) choose(std::max(index - 1, 0));
  }
  if (r.clicked) ImGui::OpenPopup("choices");
  if (const PopupScope popup(ui, "choices", {rect.x, rect.bottom() + ui.px(4)}, std::max(rect.w, ui.px(180))); popup) {
    for (int i = 0; i < count; ++i) {
      const Choice& choice = choices[static_cast<size_t>(i)];
      if (menu_row(ui, std::string(id) + "/" + choice.text, i == index ? Icon::kCheck : Icon::kBlank, choice.text, choice.detail))
        choose(i);
    }
  }
  return changed;
}

bool segments(Ui& ui, std::string_view id, const Rect& rect, std::span<const std::string> texts, int& index, std::string_view tip) {
  ui.fill(rect, ui.colors().window, 6);
  ui.frame(rect, ui.colors().line, 6);
  const float width = rect.w / static_cast<float>(texts.size());
  bool changed = false;
  for (size_t i = 0; i < texts.size(); ++i) {
    const Rect part{rect.x + width * static_cast<float>(i), rect.y, width, rect.h};
    const bool chosen = static_cast<int>(i) == index;
    const Response r = ui.item(std::string(id) + "/" + texts[i], part, ItemKind::kToggle, texts[i], {.value = chosen ? "on" : "off"});
    if (chosen || r.hovered) ui.fill(part.inset(ui.px(3)), ui.colors().hover, 4);
    if (r.focused) ui.focus_ring(part);
    ui.text_in(part.inset(ui.px(4)), texts[i], Face::kText, chosen ? ui.colors().text : ui.colors().quiet, 0.5f);
    ui.tip(r, tip);
    if (r.clicked && !chosen) index = static_cast<int>(i), changed = true;
  }
  return changed;
}

bool toggle(Ui& ui, std::string_view id, std::string_view text, bool& on, std::string_view tip) {
  const float width = ui.px(44) + text_width(ui.style(Face::kText), text) + ui.px(4);
  const Rect rect = ui.place(std::min(width, ui.rest()), ui.px(28));
  const Response r = ui.item(id, rect, ItemKind::kToggle, text, {.value = on ? "on" : "off"});
  const Rect track{rect.x, rect.y + ui.px(5), ui.px(32), ui.px(18)};
  ui.fill(track, on ? ui.colors().accent : ui.colors().hover, 9);
  if (!on) ui.frame(track, ui.colors().line, 9);
  if (r.focused) ui.focus_ring(track, 9);
  const float knob = on ? track.right() - ui.px(9) : track.x + ui.px(9);
  ui.list().AddCircleFilled({knob, track.center().y}, ui.px(6), ui.color(on ? ui.colors().on_accent : ui.colors().quiet));
  ui.text_in({rect.x + ui.px(42), rect.y, rect.w - ui.px(42), rect.h}, text, Face::kText, ui.colors().text);
  ui.tip(r, tip);
  if (r.clicked) on = !on;
  return r.clicked;
}

bool fold(Ui& ui, std::string_view id, std::string_view text, bool& open) {
  const Rect rect = ui.place(0, ui.px(28));
  const Response r = ui.item(id, rect, ItemKind::kToggle, text, {.value = open ? "on" : "off"});
  const uint32_t tone = r.hovered ? ui.colors().text : ui.colors().quiet;
  if (r.focused) ui.focus_ring(rect);
  ui.icon(open ? Icon::kChevronDown : Icon::kChevronRight, {rect.x - ui.px(3), rect.y, ui.px(16), rect.h}, tone, 13);
  ui.text_in({rect.x + ui.px(17), rect.y, rect.w - ui.px(17), rect.h}, text, Face::kSmall, tone);
  if (r.hovered) ImGui::SetMouseCursor(ImGuiMouseCursor_Hand);
  if (r.clicked) open = !open;
  return open;
}

int star_row(Ui& ui, std::string_view id, Rect row, int lit, const StarTexts& texts) {
  constexpr float kPlace = 26, kIcon = 17;
  int clicked = 0;
  row.x -= ui.px((kPlace - kIcon) / 2);  // so that the first star, not its place, is at the edge
  for (int star = 1; star <= 5; ++star) {
    const Rect place = cut_left(row, ui.px(kPlace));
    const bool filled = star <= lit;
    const std::string number = std::to_string(star), label = number + std::string(texts.label);
    const Response r = ui.item(std::string(id) + number, place, ItemKind::kToggle, label, {.value = filled ? "on" : "off"});
    const uint32_t tone = filled ? ui.colors().warning : r.hovered ? ui.colors().text : ui.colors().quiet;
    ui.icon(filled ? Icon::kStarFilled : Icon::kStar, place, tone, kIcon);
    if (r.focused) ui.focus_ring(place);
    ui.tip(r, texts.tip.empty() ? std::string_view(label) : texts.tip, texts.keys ? number : "");
    if (r.clicked) clicked = star;
  }
  return clicked;
}

void progress_bar(Ui& ui, const Rect& rect, float fraction, uint32_t rgb) {
  ui.fill(rect, ui.colors().line, 3);
  if (fraction >= 0) {
    if (fraction > 0) ui.fill({rect.x, rect.y, std::max(rect.h, rect.w * std::min(1.0f, fraction)), rect.h}, rgb, 3);
    return;
  }
  const float part = rect.w * 0.25f, at = static_cast<float>(std::fmod(ui.time() * 0.7, 1.0)) * (rect.w - part);
  ui.fill({rect.x + at, rect.y, part, rect.h}, rgb, 3);
}

void separator(Ui& ui) {
  const Rect rect = ui.place(0, ui.px(17));
  ui.fill({rect.x, std::round(rect.center().y), rect.w, std::max(1.0f, ui.px(1))}, ui.colors().line);
}

void drag_edge(Ui& ui, std::string_view id, const Rect& edge, float& width, float low, float high, float sign) {
  const Response r = ui.item(id, edge, ItemKind::kArea, "panel edge", {.focusable = false, .enter_clicks = false});
  if (r.hovered || r.held) {
    ImGui::SetMouseCursor(ImGuiMouseCursor_ResizeEW);
    ui.fill({edge.center().x - ui.px(1), edge.y, ui.px(2), edge.h}, ui.colors().accent, 0, 0.8f);
  }
  if (r.held) width = std::clamp(width + sign * ImGui::GetIO().MouseDelta.x / ui.scale(), low, high);
}

}  // namespace linea::studio
