#include "app/studio/picture_details.h"

#include <unistd.h>

#include <cstdlib>

#include "app/studio/clipboard.h"
#include "app/studio/number_field.h"
#include "app/studio/widgets.h"

namespace linea::studio {
namespace {

std::optional<PictureSettings> settings_of(const PictureRecord& record) {
  if (record.settings.empty()) return std::nullopt;
  try {
    return settings_from_json(record.settings, record.path.filename().string());
  } catch (const Error&) {
    return std::nullopt;
  }
}

void no_settings(Workspace& ws) { ws.toasts.show({.kind = ToastKind::kWarning, .text = "This picture does not say how it was made."}); }

// The desktop's file manager, in a process of its own.
void show_in_folder(const std::filesystem::path& path) {
  const std::string folder = path.parent_path().string();
  if (fork() != 0) return;
  setsid();
  if (fork() != 0) _exit(0);
  execlp("xdg-open", "xdg-open", folder.c_str(), nullptr);
  _exit(127);
}

void fact(Ui& ui, std::string_view name, const std::string& value) {
  const Rect row = ui.place(0, ui.px(21));
  ui.text_in({row.x, row.y, ui.px(80), row.h}, name, Face::kSmall, ui.colors().quiet);
  ui.text_in({row.x + ui.px(80), row.y, row.w - ui.px(80), row.h}, value, Face::kMonoSmall, ui.colors().text);
  ui.readable("details/" + std::string(name), row, name, value);
}

void stars_row(Ui& ui, Workspace& ws, const PictureRecord& record) {
  Rect row = ui.place(0, ui.px(28));
  for (int star = 1; star <= 5; ++star) {
    const Rect place = cut_left(row, ui.px(24));
    const std::string text = std::to_string(star) + (star == 1 ? " star" : " stars");
    const Response r =
        ui.item("details/star" + std::to_string(star), place, ItemKind::kToggle, text, {.value = record.stars >= star ? "on" : "off"});
    const bool lit = record.stars >= star;
    if (r.focused) ui.focus_ring(place);
    ui.icon(lit ? Icon::kStarFilled : Icon::kStar, place, lit ? ui.colors().warning : r.hovered ? ui.colors().text : ui.colors().quiet, 17);
    ui.tip(r, text, std::to_string(star));
    if (r.clicked) set_stars(ws, {record.id}, record.stars == star ? 0 : star);
  }
}

}  // namespace

std::optional<PictureForm> form_of(const PictureRecord& record) {
  const std::optional<PictureSettings> settings = settings_of(record);
  if (!settings) return std::nullopt;
  return form_of(*settings);
}

void use_settings(Workspace& ws, const PictureRecord& record) {
  const std::optional<PictureForm> form = form_of(record);
  if (!form) return no_settings(ws);
  ws.use_form(*form, false);
  ws.toasts.good("The settings are in the form, with the picture's seed.");
}

void vary(Workspace& ws, const PictureRecord& record) {
  std::optional<PictureForm> form = form_of(record);
  if (!form) return no_settings(ws);
  form->random_seed = true;
  ws.use_form(*form, true);
}

void copy_as_command(Workspace& ws, const PictureRecord& record) {
  const std::optional<PictureSettings> settings = settings_of(record);
  if (!settings) return no_settings(ws);
  clipboard::set(to_command_line(*settings));
  ws.toasts.good("The command line is on the clipboard.");
}

void set_stars(Workspace& ws, const std::vector<int64_t>& ids, int stars) {
  ws.background.with_library([&ws, ids, stars](Library& library) -> Background::Done {
    library.set_stars(ids, stars);
    return [&ws] { ws.library_changed(); };
  });
}

void delete_pictures(Workspace& ws, const std::vector<int64_t>& ids) {
  if (ids.empty()) return;
  ws.background.with_library([&ws, ids](Library& library) -> Background::Done {
    library.delete_pictures(ids);
    return [&ws] { ws.library_changed(); };
  });
  const auto undo = [&ws, ids] {
    ws.background.with_library([&ws, ids](Library& library) -> Background::Done {
      library.restore_pictures(ids);
      return [&ws] { ws.library_changed(); };
    });
  };
  ws.toasts.show({.kind = ToastKind::kInfo,
                  .text = ids.size() == 1 ? "Picture deleted." : std::to_string(ids.size()) + " pictures deleted.",
                  .action = "Undo",
                  .on_action = undo});
}

void draw_picture_details(Ui& ui, Workspace& ws, const PictureRecord& record) {
  const std::optional<PictureSettings> settings = settings_of(record);
  const std::string prompt = record.prompt.empty() ? record.path.filename().string() : record.prompt;
  paragraph(ui, prompt.size() > 600 ? prompt.substr(0, 597) + "…" : prompt, Face::kText, ui.colors().text, 0, "details/prompt");
  if (!record.negative.empty()) {
    ui.gap(4);
    paragraph(ui, "without: " + record.negative, Face::kSmall, ui.colors().quiet);
  }
  ui.gap(6);
  fact(ui, "Size", std::to_string(record.width) + " × " + std::to_string(record.height));
  if (!record.model.empty()) fact(ui, "Model", model_title(ws, record.model));
  if (settings) {
    fact(ui, "Seed", std::to_string(record.seed));
    fact(ui, "Steps", std::to_string(settings->request.steps));
    fact(ui, "Guidance", number_text(settings->request.guidance, 1));
  }
  fact(ui, "Made", when_text(record.created));
  stars_row(ui, ws, record);
  ui.gap(6);
  const float gap = ui.px(8);
  const auto pair = [&](const char* a_id, const char* a, Icon a_icon, const char* a_tip, const char* b_id, const char* b, Icon b_icon,
                        const char* b_tip) {
    const Rect row = ui.place(0, ui.px(kControlHeight));
    const float half = (row.w - gap) / 2;
    const bool left =
        button(ui, a_id, {row.x, row.y, half, row.h}, a, {.icon = a_icon, .look = ButtonLook::kOutlined, .tip = a_tip}).clicked;
    const bool right =
        button(ui, b_id, {row.x + half + gap, row.y, half, row.h}, b, {.icon = b_icon, .look = ButtonLook::kOutlined, .tip = b_tip})
            .clicked;
    ui.gap(6);
    return std::pair{left, right};
  };
  const auto [use, again] = pair("details/use", "Use settings", Icon::kUndo, "Puts the picture's prompt, seed and settings into the form.",
                                 "details/vary", "Vary", Icon::kDice, "The same settings with another seed.");
  if (use) use_settings(ws, record);
  if (again) vary(ws, record);
  const auto [command, compare] = pair("details/command", "Command", Icon::kCopy, "Copies the command line that makes this picture again.",
                                       "details/compare", "Compare", Icon::kCompare, "Shows it beside the picture in the viewer.");
  if (command) copy_as_command(ws, record);
  if (compare) ws.compare_picture(record.path);
  const auto [folder, remove] = pair("details/folder", "Folder", Icon::kFolder, "Opens the picture's folder.", "details/delete", "Delete",
                                     Icon::kTrash, "Can be undone for ten seconds.");
  if (folder) show_in_folder(record.path);
  if (remove) delete_pictures(ws, {record.id});
}

void draw_picture_menu(Ui& ui, Workspace& ws, const PictureRecord& record) {
  const PopupScope popup(ui, "picture-menu", {-1, -1}, 0);
  if (!popup) return;
  if (menu_row(ui, "menu/open", Icon::kEye, "Open in viewer", "Enter")) ws.show_picture(record.path);
  if (menu_row(ui, "menu/use", Icon::kUndo, "Use settings")) use_settings(ws, record);
  if (menu_row(ui, "menu/vary", Icon::kDice, "Vary")) vary(ws, record);
  if (menu_row(ui, "menu/command", Icon::kCopy, "Copy as command line")) copy_as_command(ws, record);
  if (menu_row(ui, "menu/prompt", Icon::kCopy, "Copy prompt")) clipboard::set(record.prompt);
  if (menu_row(ui, "menu/compare", Icon::kCompare, "Compare", "C")) ws.compare_picture(record.path);
  if (menu_row(ui, "menu/folder", Icon::kFolder, "Show in folder")) show_in_folder(record.path);
  if (menu_row(ui, "menu/delete", Icon::kTrash, "Delete", "Del")) delete_pictures(ws, {record.id});
}

}  // namespace linea::studio
