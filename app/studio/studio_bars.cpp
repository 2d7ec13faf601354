// The bar with the views above everything, and the status line below.
#include <algorithm>
#include <ctime>

#include "app/studio/studio.h"
#include "app/studio/view_names.h"
#include "app/studio/widgets.h"

namespace linea::studio {

void Studio::draw_bar(const Rect& rect) {
  ui_.fill(rect, ui_.colors().panel);
  ui_.fill({rect.x, rect.bottom() - std::max(1.0f, ui_.px(1)), rect.w, std::max(1.0f, ui_.px(1))}, ui_.colors().line);
  Rect row{rect.x + ui_.px(16), rect.y + ui_.px(8), rect.w - ui_.px(28), ui_.px(32)};
  ui_.icon(Icon::kLogo, cut_left(row, ui_.px(24)), ui_.colors().accent, 22);
  const Rect name = cut_left(row, ui_.px(74));
  ui_.text_in({name.x + ui_.px(8), name.y, name.w, name.h}, "Linea", Face::kHeading, ui_.colors().text);
  const bool narrow = rect.w < ui_.px(900);
  for (size_t i = 0; i < kTabs; ++i) {
    const ViewName& view = kViews[i];
    std::string text = view.title;
    const int waiting = ws_.queue->waiting + static_cast<int>(ws_.queue->running.size());
    const bool counted = view.kind == ViewKind::kQueue && waiting > 0;
    const std::string shown = counted ? text + "  " + std::to_string(waiting) : text;
    const Rect tab = cut_left(row, narrow ? ui_.px(40) : button_width(ui_, shown, view.icon));
    cut_left(row, ui_.px(4));
    const ButtonOptions options{.icon = view.icon,
                                .look = view_ == view.kind ? ButtonLook::kSelected : ButtonLook::kQuiet,
                                .tip = narrow ? view.title : "",
                                .shortcut = narrow ? "Ctrl+" + std::to_string(i + 1) : std::string()};
    const Response r = narrow ? icon_button(ui_, std::string("tab/") + view.id, tab, view.icon, text, options)
                              : button(ui_, std::string("tab/") + view.id, tab, shown, options);
    if (r.clicked) go(view.kind);
  }
  const auto tool = [&](const char* id, Icon icon, const char* label, const char* key, bool on) {
    const Rect place = cut_right(row, ui_.px(36));
    return icon_button(ui_, id, {place.x + ui_.px(2), place.y, ui_.px(32), place.h}, icon, label,
                       {.look = on ? ButtonLook::kSelected : ButtonLook::kQuiet, .shortcut = key})
        .clicked;
  };
  if (tool("bar/settings", Icon::kGear, "Settings", "Ctrl+,", view_ == ViewKind::kSettings)) go(ViewKind::kSettings);
  if (tool("bar/shortcuts", Icon::kKeyboard, "Keyboard shortcuts", "Ctrl+/", view_ == ViewKind::kShortcuts)) go(ViewKind::kShortcuts);
  const bool dark = settings_.theme != "light";
  if (tool("bar/theme", dark ? Icon::kSun : Icon::kMoon, dark ? "Light theme" : "Dark theme", "", false))
    settings_.theme = dark ? "light" : "dark";
  if (view_ == ViewKind::kCreate && tool("bar/right", Icon::kPanelRight, "Right panel", "F2", settings_.right_open))
    settings_.right_open = !settings_.right_open;
  if (view_ == ViewKind::kCreate && tool("bar/left", Icon::kPanelLeft, "Left panel", "F1", settings_.left_open))
    settings_.left_open = !settings_.left_open;
  if (view_ != ViewKind::kGallery && view_ != ViewKind::kChat && row.w > ui_.px(190)) {
    cut_right(row, ui_.px(8));
    const Rect field = cut_right(row, std::min(ui_.px(240), row.w - ui_.px(10)));
    const EditorResponse e =
        search_.draw(ui_, "bar/search", field,
                     {.label = "Search pictures", .placeholder = "Search pictures", .enter_submits = true, .icon = Icon::kSearch});
    if (e.submitted) {
      gallery_.search(search_.text());
      go(ViewKind::kGallery);
    }
  }
}

void Studio::draw_status(const Rect& rect) {
  ui_.fill(rect, ui_.colors().panel);
  ui_.fill({rect.x, rect.y, rect.w, std::max(1.0f, ui_.px(1))}, ui_.colors().line);
  Rect row{rect.x + ui_.px(16), rect.y, rect.w - ui_.px(32), rect.h};
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char clock[8];
  std::strftime(clock, sizeof clock, "%H:%M", &parts);
  ui_.text_in(cut_right(row, ui_.px(44)), clock, Face::kMonoSmall, ui_.colors().quiet, 1);
  if (!engine_) {
    status_part(row, engine_starting_ ? "starting" : "no engine", ui_.colors().quiet);
    return;
  }
  draw_residency(row);
  const QueueSnapshot& q = *ws_.queue;
  const std::string queue = "queue " + std::to_string(q.waiting + static_cast<int>(q.running.size())) + " · done " +
                            std::to_string(q.done_pictures) + (q.paused ? " · paused" : "");
  status_part(row, queue, q.paused ? ui_.colors().warning : ui_.colors().quiet, true);
}

// A text of the status line, behind a thin line where others come before it. What has no room is left out.
void Studio::status_part(Rect& row, const std::string& text, uint32_t rgb, bool ruled) {
  const float width = text_width(ui_.style(Face::kSmall), text), gap = ruled ? ui_.px(24) : 0;
  if (row.w < width + gap) return;
  const Rect place = cut_left(row, width + gap);
  if (ruled) ui_.fill({place.x + gap / 2, place.y + ui_.px(8), std::max(1.0f, ui_.px(1)), place.h - ui_.px(16)}, ui_.colors().line);
  ui_.text_in({place.x + gap, place.y, width + 2, place.h}, text, Face::kSmall, rgb);
}

// What keeps memory now; the tooltip tells what came and went, and for whom.
void Studio::draw_residency(Rect& row) {
  const Rect whole = row;
  const std::shared_ptr<const ResidencySnapshot> residency = engine_->residency();
  const std::string memory = "memory " + bytes_text(residency->used) + " of " + bytes_text(residency->budget);
  status_part(row, memory, ui_.colors().quiet);
  const float filled = residency->budget > 0 ? static_cast<float>(residency->used) / static_cast<float>(residency->budget) : 0;
  if (row.w > ui_.px(80)) {
    const Rect meter = cut_left(row, ui_.px(70));
    progress_bar(ui_, {meter.x + ui_.px(10), meter.center().y - ui_.px(2), ui_.px(60), ui_.px(4)}, filled, ui_.colors().accent);
  }
  for (const ResidentModel& model : residency->models)
    status_part(row, model.name + (model.in_use ? " at work" : " resident"), ui_.colors().quiet, true);
  std::string history;
  const size_t count = residency->history.size();
  for (size_t i = count > 6 ? count - 6 : 0; i < count; ++i) history += (history.empty() ? "" : "\n") + residency->history[i];
  const Rect area{whole.x, whole.y, row.x - whole.x, whole.h};
  ui_.tip(ui_.item("status", area, ItemKind::kText, "status", {.focusable = false, .enter_clicks = false, .value = memory}), history);
}

}  // namespace linea::studio
