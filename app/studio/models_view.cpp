#include "app/studio/models_view.h"

#include <algorithm>
#include <cmath>

#include "app/studio/number_field.h"
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

void ModelsView::draw_add(Ui& ui) {
  Rect row = ui.place(0, ui.px(36));
  row.w = std::min(row.w, ui.px(760));
  const Rect look = cut_right(row, button_width(ui, "Look again", Icon::kRefresh));
  cut_right(row, ui.px(8));
  const Rect add_place = cut_right(row, button_width(ui, "Add", Icon::kPlus));
  cut_right(row, ui.px(8));
  const EditorResponse e = path_.draw(ui, "models/path", row,
                                      {.label = "Folder or file",
                                       .placeholder = "Folder or file of a model, or a folder of models",
                                       .tip = "Or drop it anywhere in this window.",
                                       .enter_submits = true});
  const bool wanted =
      button(ui, "models/add", add_place, "Add", {.icon = Icon::kPlus, .look = ButtonLook::kPrimary, .enabled = !path_.text().empty()})
          .clicked ||
      e.submitted;
  if (wanted && !path_.text().empty()) {
    add({path_.text()});
    path_.set_text("");
  }
  if (button(ui, "models/rescan", look, "Look again",
             {.icon = Icon::kRefresh, .look = ButtonLook::kOutlined, .tip = "Looks through the folders for models that came or went."})
          .clicked)
    ws_.rescan_models();
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
  uint32_t tone = 0;
  const std::string state = state_of(model, tone, ui.colors());
  const Rect line_place = cut_top(box, ui.px(22));
  ui.list().AddCircleFilled({line_place.x + ui.px(4), line_place.center().y}, ui.px(4), ui.color(tone));
  ui.text_in({line_place.x + ui.px(16), line_place.y, line_place.w - ui.px(16), line_place.h}, state, Face::kSmall, tone);
  ui.readable("models/state/" + model.title, line_place, state);
  draw_actions(ui, model, cut_bottom(box, ui.px(kControlHeight)));
}

void ModelsView::draw_actions(Ui& ui, const ModelEntry& model, Rect row) {
  const auto action = [&](const char* id, const char* text, Icon icon, const char* tip, bool enabled) {
    const Rect r = cut_left(row, button_width(ui, text, icon));
    cut_left(row, ui.px(6));
    return button(ui, id, r, text, {.icon = icon, .look = ButtonLook::kOutlined, .enabled = enabled, .tip = tip}).clicked;
  };
  if (action("models/use", "Use", Icon::kCheck,
             model.kind == ModelKind::kPicture ? "The default for new pictures." : "The default for new chats.", model.ready())) {
    if (model.kind == ModelKind::kPicture) {
      ws_.settings.picture_model = model.built_in && model.name == "sana-mini" ? "" : model.name;
      PictureForm form = ws_.settings.form;
      form.model = ws_.settings.picture_model;
      if (model.native_side > 0) form.width = form.height = model.native_side;
      ws_.use_form(form, false);
    } else {
      ws_.settings.chat_model = model.name;
      ws_.go(ViewKind::kChat);
    }
  }
  if (!model.built_in && action("models/remove", "Leave out", Icon::kClose, "Takes it off this list; its files stay.", true)) {
    std::erase(ws_.settings.model_folders, model.name);
    ws_.settings.hidden_models.push_back(model.name);
    ws_.rescan_models();
    const auto undo = [this, name = model.name] { add({name}); };
    ws_.toasts.show({.kind = ToastKind::kInfo, .text = model.title + " is off the list.", .action = "Undo", .on_action = undo});
  }
}

}  // namespace linea::studio
