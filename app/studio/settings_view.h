// app/studio/settings_view.h: the page of settings.
#pragma once

#include "app/studio/number_field.h"
#include "app/studio/text_editor.h"
#include "app/studio/workspace.h"

namespace linea::studio {

class SettingsView {
 public:
  explicit SettingsView(Workspace& ws);
  void draw(Ui& ui, const Rect& rect);

 private:
  void draw_look(Ui& ui);
  void draw_files(Ui& ui);
  void draw_memory(Ui& ui);
  void draw_about(Ui& ui);
  void check_pattern();

  Workspace& ws_;
  NumberField scale_, memory_;
  TextEditor folder_{false, 4000}, pattern_{false, 400};
  std::string pattern_problem_, pattern_example_;
};

}  // namespace linea::studio
