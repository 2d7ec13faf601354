#include "app/studio/settings_view.h"

#include <algorithm>

#include "app/engine/name_pattern.h"
#include "app/studio/widgets.h"
#include "cmake/version.h"

namespace linea::studio {
namespace {

const std::string kDefaultPattern = PictureJob{}.name_pattern;

void heading(Ui& ui, std::string_view text) {
  ui.gap(22);
  line(ui, text, Face::kHeading, ui.colors().text);
  ui.gap(8);
}

}  // namespace

SettingsView::SettingsView(Workspace& ws) : ws_(ws) {
  folder_.set_text(ws.output_folder().string());
  pattern_.set_text(ws.settings.name_pattern.empty() ? kDefaultPattern : ws.settings.name_pattern);
  check_pattern();
}

void SettingsView::draw(Ui& ui, const Rect& rect) {
  const float width = std::min(rect.w - ui.px(48), ui.px(560));
  const ChildScope child("settings", rect, {(rect.w - width) / 2, ui.px(16)});
  line(ui, "Settings", Face::kTitle, ui.colors().text);
  draw_look(ui);
  draw_files(ui);
  draw_memory(ui);
  draw_about(ui);
  ui.gap(24);
}

void SettingsView::draw_look(Ui& ui) {
  heading(ui, "Look");
  caption(ui, "Theme");
  int theme = ws_.settings.theme == "light" ? 1 : 0;
  const std::string themes[] = {"Dark", "Light"};
  Rect row = ui.place(0, ui.px(kControlHeight));
  if (segments(ui, "settings/theme", {row.x, row.y, ui.px(220), row.h}, themes, theme)) ws_.settings.theme = theme == 1 ? "light" : "dark";
  ui.gap(12);
  caption(ui, "Size of text and controls");
  row = ui.place(0, ui.px(kControlHeight));
  double percent = ws_.settings.scale * 100;
  if (scale_.draw(ui, "settings/scale", {row.x, row.y, ui.px(220), row.h}, "Percent", percent,
                  {.low = 50, .high = 300, .step = 5, .slider_low = 50, .slider_high = 200, .fallback = 100},
                  "On top of the display's own scale.") &&
      !ui.input().down(0))
    ws_.settings.scale = percent / 100;
  ui.gap(10);
  toggle(ui, "settings/previews", "Show each step while a picture is made", ws_.settings.previews,
         "A small picture straight from the latents; costs next to nothing.");
  if (ws_.engine) ws_.engine->set_previews(ws_.settings.previews);
}

void SettingsView::check_pattern() {
  pattern_problem_.clear();
  try {
    PictureJob job;
    job.settings.request.prompt = "a red apple on a blue plate";
    job.settings.request.seed = 42;
    job.settings.request.size = {512, 512};
    pattern_example_ = NamePattern(pattern_.text()).expand(job, 0);
  } catch (const Error& error) {
    pattern_problem_ = error.what();
  }
}

void SettingsView::draw_files(Ui& ui) {
  heading(ui, "Files");
  caption(ui, "Folder for new pictures");
  Rect row = ui.place(0, ui.px(kControlHeight));
  const Rect browse = cut_right(row, button_width(ui, "Browse …", Icon::kFolder));
  cut_right(row, ui.px(8));
  if (button(ui, "settings/browse", browse, "Browse …",
             {.icon = Icon::kFolder, .look = ButtonLook::kOutlined, .tip = "Chooses a folder on the disk."})
          .clicked) {
    ws_.ask_file({.title = "Folder for new pictures",
                  .accept = "Use this folder",
                  .wish = FileWish::kFolder,
                  .start = ws_.output_folder(),
                  .done = [this](const std::filesystem::path& path) { folder_.set_text(path.string()); }});
  }
  const EditorResponse folder = folder_.draw(
      ui, "settings/folder", row, {.label = "Folder for new pictures", .tip = "It is made when it is missing.", .enter_submits = true});
  if (folder.changed) ws_.settings.output_folder = folder_.text() == default_output_folder().string() ? "" : folder_.text();
  ui.gap(12);
  caption(ui, "Names of new pictures");
  const EditorResponse name =
      pattern_.draw(ui, "settings/pattern", ui.place(0, ui.px(kControlHeight)),
                    {.label = "Names of new pictures",
                     .tip = "Fields: {slug:40} {seed} {n} {width} {height} {steps} {guidance} {model} {date}. A / makes a folder.",
                     .face = Face::kMono,
                     .enter_submits = true});
  if (name.changed) {
    check_pattern();
    if (pattern_problem_.empty()) ws_.settings.name_pattern = pattern_.text() == kDefaultPattern ? "" : pattern_.text();
  }
  ui.gap(4);
  const std::string below = pattern_problem_.empty() ? "for example " + pattern_example_ : pattern_problem_;
  paragraph(ui, below, Face::kSmall, pattern_problem_.empty() ? ui.colors().quiet : ui.colors().bad, 0, "settings/pattern-example");
}

void SettingsView::draw_memory(Ui& ui) {
  heading(ui, "Memory");
  caption(ui, "For models and their work");
  const Rect row = ui.place(0, ui.px(kControlHeight));
  if (memory_.draw(ui, "settings/memory", {row.x, row.y, ui.px(220), row.h}, "GB, 0 = what is free", ws_.settings.memory_gigabytes,
                   {.low = 0, .high = 4096, .step = 0.5, .slider_low = 0, .slider_high = 64, .fallback = 0, .decimals = 1},
                   "Models that are not in use are put out when another needs the room.") &&
      ws_.engine)
    ws_.engine->memory().set_budget(static_cast<int64_t>(ws_.settings.memory_gigabytes * 1e9));
  ui.gap(10);
  const Rect free = ui.place(0, ui.px(kControlHeight));
  if (button(ui, "settings/put-out", {free.x, free.y, button_width(ui, "Free all models now"), free.h}, "Free all models now",
             {.look = ButtonLook::kOutlined,
              .enabled = ws_.engine != nullptr,
              .tip = "Gives the memory of models that are not at work back. They load again when they are needed."})
          .clicked)
    ws_.engine->put_out_models();
  if (!ws_.engine) return;
  ui.gap(8);
  const auto& history = ws_.engine->residency()->history;
  for (size_t i = history.size() > 4 ? history.size() - 4 : 0; i < history.size(); ++i)
    line(ui, history[i], Face::kSmall, ui.colors().quiet);
}

void SettingsView::draw_about(Ui& ui) {
  heading(ui, "About");
  line(ui, std::string("Linea ") + kVersion + (*kCommit ? std::string(" (") + kCommit + ")" : ""), Face::kText, ui.colors().quiet);
  line(ui, "Inter and JetBrains Mono under the SIL Open Font License 1.1; Dear ImGui, GLFW.", Face::kSmall, ui.colors().quiet);
  ui.gap(8);
  const Rect row = ui.place(0, ui.px(kControlHeight));
  if (button(ui, "settings/shortcuts", {row.x, row.y, button_width(ui, "Keyboard shortcuts", Icon::kKeyboard), row.h}, "Keyboard shortcuts",
             {.icon = Icon::kKeyboard, .look = ButtonLook::kOutlined, .tip = "All keys on one page.", .shortcut = "Ctrl+/"})
          .clicked)
    ws_.go(ViewKind::kShortcuts);
}

}  // namespace linea::studio
