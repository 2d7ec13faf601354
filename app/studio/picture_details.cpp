#include "app/studio/picture_details.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "app/studio/clipboard.h"
#include "app/studio/number_field.h"
#include "app/studio/text_layout.h"
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

void fact(Ui& ui, std::string_view name, const std::string& value) {
  const Rect row = ui.place(0, ui.px(21));
  ui.text_in({row.x, row.y, ui.px(80), row.h}, name, Face::kSmall, ui.colors().quiet);
  ui.text_in({row.x + ui.px(80), row.y, row.w - ui.px(80), row.h}, value, Face::kMonoSmall, ui.colors().text);
  ui.readable("details/" + std::string(name), row, name, value);
}

}  // namespace

// The desktop's file manager, in a process of its own.
void show_in_folder(const std::filesystem::path& path) {
  const std::string folder = path.parent_path().string();
  if (fork() != 0) return;
  setsid();
  if (fork() != 0) _exit(0);
  execlp("xdg-open", "xdg-open", folder.c_str(), nullptr);
  _exit(127);
}

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

void add_tag(Workspace& ws, const std::vector<int64_t>& ids, const std::string& tag) {
  ws.background.with_library([&ws, ids, tag](Library& library) -> Background::Done {
    for (const int64_t id : ids) {
      std::optional<PictureRecord> record = library.picture(id);
      if (!record || std::find(record->tags.begin(), record->tags.end(), tag) != record->tags.end()) continue;
      record->tags.push_back(tag);
      library.set_tags(id, record->tags);
    }
    return [&ws] { ws.library_changed(); };
  });
}

void remove_tag(Workspace& ws, int64_t id, const std::string& tag) {
  ws.background.with_library([&ws, id, tag](Library& library) -> Background::Done {
    if (std::optional<PictureRecord> record = library.picture(id)) {
      std::erase(record->tags, tag);
      library.set_tags(id, record->tags);
    }
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

void TagEditor::draw(Ui& ui, Workspace& ws, const PictureRecord& record, const std::vector<int64_t>& ids) {
  const float height = ui.px(26), room = ui.rest();
  Rect row = ui.place(0, height);
  const auto next_row = [&] {
    ui.gap(4);
    row = ui.place(0, height);
  };
  for (const std::string& tag : record.tags) {
    const IdScope scope(tag);
    const float width = std::min(room, std::ceil(text_width(ui.style(Face::kSmall), tag)) + ui.px(40));
    if (row.w < width) next_row();
    Rect chip = cut_left(row, width);
    cut_left(row, ui.px(6));
    ui.fill(chip, ui.colors().tinted, 13);
    const Rect cross = cut_right(chip, ui.px(26));
    ui.text_in({chip.x + ui.px(11), chip.y, chip.w - ui.px(11), chip.h}, tag, Face::kSmall, ui.colors().text);
    ui.readable("tags/tag", chip, tag);
    if (icon_button(ui, "tags/remove", cross.inset(ui.px(3)), Icon::kClose, "Remove the tag " + tag).clicked)
      remove_tag(ws, record.id, tag);
  }
  if (row.w < ui.px(110)) next_row();
  const EditorResponse e =
      field_.draw(ui, "tags/add", row, {.label = "Add a tag", .placeholder = "Add a tag", .face = Face::kSmall, .enter_submits = true});
  if (!e.submitted) return;
  const std::string text = field_.text();
  const size_t first = text.find_first_not_of(" \t"), last = text.find_last_not_of(" \t");
  if (first != std::string::npos) add_tag(ws, ids, text.substr(first, last - first + 1));
  field_.set_text("");
}

void draw_picture_details(Ui& ui, Workspace& ws, TagEditor& tags, const PictureRecord& record) {
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
  const int star = star_row(ui, "details/star", ui.place(0, ui.px(28)), record.stars, {.label = " stars", .keys = true});
  if (star > 0) set_stars(ws, {record.id}, record.stars == star ? 0 : star);
  ui.gap(4);
  tags.draw(ui, ws, record, {record.id});
  ui.gap(10);
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
  const auto [use, again] = pair("details/use", "Reuse", Icon::kUndo, "Puts the picture's prompt, seed and settings into the form.",
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
  if (menu_row(ui, "menu/use", Icon::kUndo, "Reuse settings")) use_settings(ws, record);
  if (menu_row(ui, "menu/vary", Icon::kDice, "Vary")) vary(ws, record);
  if (menu_row(ui, "menu/command", Icon::kCopy, "Copy as command line")) copy_as_command(ws, record);
  if (menu_row(ui, "menu/prompt", Icon::kCopy, "Copy prompt")) clipboard::set(record.prompt);
  if (menu_row(ui, "menu/compare", Icon::kCompare, "Compare", "C")) ws.compare_picture(record.path);
  if (menu_row(ui, "menu/folder", Icon::kFolder, "Show in folder")) show_in_folder(record.path);
  if (menu_row(ui, "menu/delete", Icon::kTrash, "Delete", "Del")) delete_pictures(ws, {record.id});
}

}  // namespace linea::studio
