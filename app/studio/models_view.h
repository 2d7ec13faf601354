// app/studio/models_view.h: the models that were found: what each is, what it needs and what is missing; adding and leaving out.
#pragma once

#include "app/studio/model_conversion.h"
#include "app/studio/text_editor.h"
#include "app/studio/workspace.h"

namespace linea::studio {

class ModelsView {
 public:
  explicit ModelsView(Workspace& ws) : ws_(ws), conversion_(ws) {}
  void draw(Ui& ui, const Rect& rect);
  void add(const std::vector<std::string>& paths);  // folders and files, dropped or typed

 private:
  void draw_add(Ui& ui);
  void draw_family(Ui& ui, ModelKind kind, const char* title, const char* none);
  void draw_card(Ui& ui, const ModelEntry& model, const Rect& rect);
  void draw_state(Ui& ui, const ModelEntry& model, Rect row);
  void draw_actions(Ui& ui, const ModelEntry& model, Rect row);
  void use(const ModelEntry& model);
  void leave_out(const ModelEntry& model);
  void choose_type(Ui& ui, const ModelEntry& model);
  void browse();
  std::string state_of(const ModelEntry& model, uint32_t& tone, const Palette& colors) const;

  Workspace& ws_;
  TextEditor path_{false, 4000};
  ModelConversion conversion_;
};

}  // namespace linea::studio
