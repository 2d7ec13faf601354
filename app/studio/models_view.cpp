#include "app/studio/models_view.h"

#include <algorithm>
#include <cmath>

#include "app/studio/number_field.h"
#include "app/studio/picture_details.h"
#include "app/studio/text_layout.h"
#include "app/studio/widgets.h"

namespace linea::studio {
namespace {

constexpr float kCardHeight = 156;

std::string count_text(int64_t n) {
  if (n >= 1000000000) return number_text(static_cast<double>(n) / 1e9, 1) + " B parameters";
  if (n >= 1000000) return number_text(static_cast<double>(n) / 1e6, n >= 100000000 ? 0 : 1) + " M parameters";
  return std::to_string(n) + " parameters";
}

}  // namespace

void ModelsView::add(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    std::vector<std::string>& folders = ws_.settings.model_folders;
    if (std::find(folders.begin(), folders.end(), path) == folders.end()) folders.push_back(path);
    std::erase(ws_.settings.hidden_models, path);
  }
  ws_.rescan_models();
  ws_.go(ViewKind::kModels);
}

void ModelsView::draw(Ui& ui, const Rect& rect) {
  const float width = std::min(rect.w - ui.px(48), ui.px(1180));
  const ChildScope child("models", rect, {(rect.w - width) / 2, ui.px(16)});
  line(ui, "Models", Face::kTitle, ui.colors().text);
  ui.gap(4);
  paragraph(ui, "Folders of the Hugging Face layout load as they are. Nothing is downloaded.", Face::kText, ui.colors().quiet);
  ui.gap(14);
  draw_add(ui);
  draw_family(ui, ModelKind::kPicture, "Pictures", "No picture model was found.");
  draw_family(
      ui, ModelKind::kChat, "Chat",
      "No chat model yet. Add a folder or file of RWKV (.pth, .safetensors, .gguf) or Mamba above, or drop it anywhere in this window.");
  ui.gap(24);
}

void ModelsView::browse() {
  ws_.ask_file({.title = "A model's folder or file, or a folder of models",
                .accept = "Add",
                .wish = FileWish::kEither,
                .endings = {".safetensors", ".gguf", ".pth", ".pt"},
                .done = [this](const std::filesystem::path& path) { add({path.string()}); }});
}

void ModelsView::draw_add(Ui& ui) {
  Rect row = ui.place(0, ui.px(36));
  const auto tool = [&](const char* id, const char* text, Icon icon, ButtonLook look, bool enabled, const char* tip) {
    const Rect place = cut_right(row, button_width(ui, text, icon));
    cut_right(row, ui.px(8));
    return button(ui, id, place, text, {.icon = icon, .look = look, .enabled = enabled, .tip = tip}).clicked;
  };
  if (tool("models/rescan", "Look again", Icon::kRefresh, ButtonLook::kOutlined, true,
           "Looks through the folders for models that came or went."))
    ws_.rescan_models();
  if (tool("models/browse", "Browse …", Icon::kFolder, ButtonLook::kOutlined, true, "Chooses a folder or file on the disk.")) browse();
  const bool typed = !path_.text().empty(),
             wanted = tool("models/add", "Add", Icon::kPlus, ButtonLook::kPrimary, typed, "Puts what is named at the left on the list.");
  const EditorResponse e = path_.draw(ui, "models/path", row,
                                      {.label = "Folder or file",
                                       .placeholder = "Folder or file of a model, or a folder of models",
                                       .tip = "Or drop it anywhere in this window.",
                                       .enter_submits = true});
  if ((wanted || e.submitted) && typed) {
    add({path_.text()});
    path_.set_text("");
  }
}

void ModelsView::draw_family(Ui& ui, ModelKind kind, const char* title, const char* none) {
  ui.gap(20);
  line(ui, title, Face::kHeading, ui.colors().text);
  ui.gap(10);
  const float gap = ui.px(12), room = ui.rest();
  const int columns = std::max(1, static_cast<int>((room + gap) / (ui.px(370) + gap)));
  const float width = (room - gap * static_cast<float>(columns - 1)) / static_cast<float>(columns);
  int at = 0;
  Rect row;
  for (const ModelEntry& model : std::vector<ModelEntry>(ws_.models)) {
    if (model.kind != kind) continue;
    const int column = at++ % columns;
    if (column == 0) {
      if (at > 1) ui.gap(12);
      row = ui.place(0, ui.px(kCardHeight));
    }
    draw_card(ui, model, {row.x + static_cast<float>(column) * (width + gap), row.y, width, row.h});
  }
  if (at == 0 && ws_.models_known) paragraph(ui, none, Face::kText, ui.colors().quiet, std::min(room, ui.px(620)), "models/none");
}

std::string ModelsView::state_of(const ModelEntry& model, uint32_t& tone, const Palette& colors) const {
  tone = colors.bad;
  if (!model.problem.empty()) return model.problem;
  if (!model.missing.empty()) {
    std::string text = "missing: ";
    for (size_t i = 0; i < model.missing.size(); ++i) text += (i ? ", " : "") + model.missing[i];
    return text;
  }
  tone = colors.good;
  if (ws_.engine) {
    for (const ResidentModel& resident : ws_.engine->residency()->models) {
      if (resident.name.starts_with(model.title)) return "resident, " + bytes_text(resident.bytes);
    }
  }
  return "ready";
}

void ModelsView::draw_card(Ui& ui, const ModelEntry& model, const Rect& rect) {
  const IdScope scope(model.name);
  ui.fill(rect, ui.colors().panel, 8);
  ui.frame(rect, ui.colors().line, 8);
  Rect box = rect.inset(ui.px(16));
  Rect head = cut_top(box, ui.px(24));
  const bool chosen = model.kind == ModelKind::kPicture
                          ? model.name == ws_.settings.picture_model || (ws_.settings.picture_model.empty() && model.name == "sana-mini")
                          : model.name == ws_.settings.chat_model;
  if (chosen) {
    const Rect badge = cut_right(head, ui.px(64));
    ui.fill(badge.inset(ui.px(1)), ui.colors().tinted, 11);
    ui.text_in(badge, "default", Face::kSmall, ui.colors().text, 0.5f);
  }
  ui.text_in(head, model.title, Face::kBold, ui.colors().text);
  ui.readable("models/card/" + model.title, rect, model.title, model.ready() ? "ready" : "not ready");
  std::string what = model.family.empty() ? "unknown" : model.family;
  if (model.native_side > 0) what += " · " + std::to_string(model.native_side) + " px";
  if (!model.precision.empty()) what += " · " + model.precision;
  if (model.built_in) what += " · built in";
  ui.text_in(cut_top(box, ui.px(22)), what, Face::kText, ui.colors().quiet);
  const std::string size = model.bytes > 0 ? count_text(model.parameters) + " · " + bytes_text(model.bytes) : model.path.string();
  ui.text_in(cut_top(box, ui.px(20)), size, Face::kSmall, ui.colors().quiet);
  draw_state(ui, model, cut_top(box, ui.px(22)));
  draw_actions(ui, model, cut_bottom(box, ui.px(kControlHeight)));
}

void ModelsView::draw_state(Ui& ui, const ModelEntry& model, Rect row) {
  if (conversion_.runs_for(model)) {
    const Rect stop = cut_right(row, ui.px(28));
    if (icon_button(ui, "models/stop", {stop.x, stop.y - ui.px(3), stop.w, ui.px(28)}, Icon::kStop, "Stop quantising").clicked)
      conversion_.cancel();
    const std::string text = "quantising to " + conversion_.type();
    const Rect label = cut_left(row, text_width(ui.style(Face::kSmall), text) + ui.px(12));
    ui.text_in(label, text, Face::kSmall, ui.colors().text);
    ui.readable("models/state/" + model.title, label, text);
    progress_bar(ui, {row.x, row.center().y - ui.px(2), row.w - ui.px(10), ui.px(5)}, conversion_.fraction(), ui.colors().accent);
    ui.animate();
    return;
  }
  uint32_t tone = 0;
  const std::string state = state_of(model, tone, ui.colors());
  ui.list().AddCircleFilled({row.x + ui.px(4), row.center().y}, ui.px(4), ui.color(tone));
  const Rect text{row.x + ui.px(16), row.y, row.w - ui.px(16), row.h};
  ui.text_in(text, state, Face::kSmall, tone);
  ui.tip(ui.item("models/why", row, ItemKind::kText, state, {.focusable = false}), state);
  ui.readable("models/state/" + model.title, row, state);
}

void ModelsView::draw_actions(Ui& ui, const ModelEntry& model, Rect row) {
  const auto action = [&](const char* id, const char* text, Icon icon, const char* tip, bool enabled) {
    const Rect r = cut_left(row, button_width(ui, text, icon));
    cut_left(row, ui.px(6));
    return button(ui, id, r, text, {.icon = icon, .look = ButtonLook::kOutlined, .enabled = enabled, .tip = tip}).clicked;
  };
  const auto tool = [&](const char* id, Icon icon, const char* label) {
    const Rect r = cut_right(row, ui.px(36));
    return icon_button(ui, id, {r.x + ui.px(4), r.y, ui.px(32), r.h}, icon, label).clicked;
  };
  if (action("models/use", "Use", Icon::kCheck,
             model.kind == ModelKind::kPicture ? "The default for new pictures." : "The default for new chats.", model.ready()))
    use(model);
  if (model.kind == ModelKind::kChat) {
    if (action("models/quantise", "Quantise …", Icon::kCube, "Writes a smaller copy that needs less memory and answers faster.",
               model.ready() && !conversion_.running()))
      ImGui::OpenPopup("types");
    choose_type(ui, model);
  }
  if (!model.built_in && tool("models/remove", Icon::kClose, "Leave out")) leave_out(model);
  if (tool("models/folder", Icon::kFolder, "Show in folder")) show_in_folder(model.path);
}

void ModelsView::choose_type(Ui& ui, const ModelEntry& model) {
  const PopupScope popup(ui, "types", {-1, -1}, ui.px(300));
  if (!popup) return;
  struct Type {
    const char *name, *what;
  };
  constexpr Type kTypes[] = {{"q8_0", "half of f16, as good"},
                             {"q6_k", "almost as good"},
                             {"q5_k", "good"},
                             {"q4_k", "a quarter, good for most"},
                             {"q4_0", "a quarter, the fastest"}};
  for (const Type& type : kTypes) {
    if (menu_row(ui, std::string("models/type/") + type.name, Icon::kNone, type.name, type.what)) conversion_.start(model, type.name);
  }
}

void ModelsView::use(const ModelEntry& model) {
  if (model.kind != ModelKind::kPicture) {
    ws_.settings.chat_model = model.name;
    ws_.go(ViewKind::kChat);
    return;
  }
  ws_.settings.picture_model = model.built_in && model.name == "sana-mini" ? "" : model.name;
  PictureForm form = ws_.settings.form;
  form.model = ws_.settings.picture_model;
  if (model.native_side > 0) form.width = form.height = model.native_side;
  ws_.use_form(form, false);
}

void ModelsView::leave_out(const ModelEntry& model) {
  std::erase(ws_.settings.model_folders, model.name);
  ws_.settings.hidden_models.push_back(model.name);
  ws_.rescan_models();
  const auto undo = [this, name = model.name] { add({name}); };
  ws_.toasts.show({.kind = ToastKind::kInfo, .text = model.title + " is off the list.", .action = "Undo", .on_action = undo});
}

}  // namespace linea::studio
