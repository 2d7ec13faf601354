#include "app/studio/toasts.h"

#include <cfloat>
#include <utility>

#include "app/studio/clipboard.h"
#include "app/studio/log_file.h"
#include "app/studio/widgets.h"

namespace linea::studio {
namespace {

constexpr size_t kMostToasts = 4;

double lifetime(const Toast& toast) {
  if (toast.open) return 1e9;
  return toast.on_action || toast.kind == ToastKind::kBad ? 10 : 5;
}

Icon icon_of(ToastKind kind) {
  if (kind == ToastKind::kGood) return Icon::kCheck;
  return kind == ToastKind::kInfo ? Icon::kInfo : Icon::kWarning;
}

uint32_t color_of(const Palette& p, ToastKind kind) {
  switch (kind) {
    case ToastKind::kGood: return p.good;
    case ToastKind::kInfo: return p.accent;
    case ToastKind::kWarning: return p.warning;
    case ToastKind::kBad: return p.bad;
  }
  return p.accent;
}

float height_of(const Style& style, const std::string& text, float width) {
  return style.font->CalcTextSizeA(style.size, FLT_MAX, width, text.c_str(), text.c_str() + text.size()).y;
}

}  // namespace

void Toasts::show(Toast toast) {
  log_line(toast.details.empty() ? toast.text : toast.text + " | " + toast.details);
  if (!toasts_.empty() && toasts_.back().text == toast.text && !toast.on_action) {
    toasts_.back().shown = 0;
    return;
  }
  if (toasts_.size() >= kMostToasts) toasts_.erase(toasts_.begin());
  toasts_.push_back(std::move(toast));
}

void Toasts::error(const std::string& text, const std::string& hint) {
  show({.kind = ToastKind::kBad, .text = text, .details = hint.empty() ? text : text + "\n" + hint});
}

void Toasts::draw(Ui& ui, const Rect& window) {
  float bottom = window.bottom() - ui.px(80);  // above the tools of the viewer
  for (size_t i = toasts_.size(); i-- > 0;) {
    if (draw_toast(ui, i, window, bottom)) toasts_.erase(toasts_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  if (const auto action = std::exchange(wanted_, {})) action();  // which may show other toasts
}

// Returns whether it is over.
bool Toasts::draw_toast(Ui& ui, size_t index, const Rect& window, float& bottom) {
  Toast& toast = toasts_[index];
  if (toast.shown == 0) toast.shown = ui.time();
  const double age = ui.time() - toast.shown;
  if (age > lifetime(toast)) return true;
  const float alpha = static_cast<float>(std::min(1.0, age / 0.12));
  if (alpha < 1) ui.animate();

  const float width = std::min(ui.px(460), window.w - ui.px(32)), pad = ui.px(12);
  const float buttons =
      (toast.on_action ? button_width(ui, toast.action) : 0) + (toast.details.empty() ? 0 : button_width(ui, "Details")) + ui.px(36);
  const float text_height = std::max(ui.px(24), height_of(ui.style(Face::kText), toast.text, width - 2 * pad - ui.px(26) - buttons));
  const float details_height = toast.open ? height_of(ui.style(Face::kMonoSmall), toast.details, width - 2 * pad) + ui.px(44) : 0;
  const float height = text_height + 2 * pad + details_height;
  const Rect box{window.right() - width - ui.px(16), bottom - height, width, height};
  bottom -= height + ui.px(8);

  ImGui::SetNextWindowPos(box.min());
  ImGui::SetNextWindowSize({box.w, box.h});
  ImGui::PushStyleVar(ImGuiStyleVar_Alpha, alpha);
  const std::string name = "##toast" + std::to_string(index);
  ImGui::Begin(name.c_str(), nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoFocusOnAppearing |
                   ImGuiWindowFlags_NoNav | ImGuiWindowFlags_NoBackground | ImGuiWindowFlags_NoMove);
  ui.fill(box, ui.colors().raised, 8);
  ui.frame(box, ui.colors().line, 8);
  ui.fill({box.x, box.y + ui.px(8), ui.px(3), box.h - ui.px(16)}, color_of(ui.colors(), toast.kind), 2);
  const bool over = draw_head(ui, toast, {box.x + pad, box.y + pad, box.w - 2 * pad, text_height});
  if (!over && toast.open)
    draw_details(ui, toast, {box.x + pad, box.y + pad + text_height + ui.px(8), box.w - 2 * pad, details_height - ui.px(8)});
  ImGui::End();
  ImGui::PopStyleVar();
  return over;
}

// The sentence and its buttons. Returns whether one of them ended it.
bool Toasts::draw_head(Ui& ui, Toast& toast, Rect row) {
  const float height = row.h;
  ui.icon(icon_of(toast.kind), cut_left(row, ui.px(26)), color_of(ui.colors(), toast.kind), 17);
  bool over = icon_button(ui, "toast/close", cut_right(row, ui.px(24)), Icon::kClose, "Close").clicked;
  const auto small_button = [&](std::string_view id, std::string_view text) {
    const Rect r = cut_right(row, button_width(ui, text));
    return button(ui, id, {r.x, r.center().y - ui.px(14), r.w - ui.px(4), ui.px(28)}, text, {.look = ButtonLook::kOutlined}).clicked;
  };
  if (toast.on_action && small_button("toast/action", toast.action)) {
    wanted_ = std::move(toast.on_action);
    over = true;
  }
  if (!over && !toast.details.empty() && small_button("toast/details", "Details")) toast.open = !toast.open;
  const Style& style = ui.style(Face::kText);
  const float drawn = height_of(style, toast.text, row.w);
  ui.list().AddText(style.font, style.size, {row.x, row.y + (height - drawn) / 2}, ui.color(ui.colors().text), toast.text.c_str(),
                    toast.text.c_str() + toast.text.size(), row.w);
  ui.readable("toast/text", row, toast.text);
  return over;
}

void Toasts::draw_details(Ui& ui, const Toast& toast, const Rect& rect) {
  const Style& small = ui.style(Face::kMonoSmall);
  ui.list().AddText(small.font, small.size, rect.min(), ui.color(ui.colors().quiet), toast.details.c_str(),
                    toast.details.c_str() + toast.details.size(), rect.w);
  ui.readable("toast/full", rect, toast.details);
  if (button(ui, "toast/copy", {rect.x, rect.bottom() - ui.px(26), ui.px(90), ui.px(28)}, "Copy",
             {.icon = Icon::kCopy, .look = ButtonLook::kOutlined})
          .clicked)
    clipboard::set(toast.details);
}

}  // namespace linea::studio
