// app/studio/shortcuts_view.h: the page of keyboard shortcuts.
#pragma once

#include "app/studio/workspace.h"

namespace linea::studio {

class ShortcutsView {
 public:
  explicit ShortcutsView(Workspace& ws) : ws_(ws) {}
  void draw(Ui& ui, const Rect& rect);

 private:
  Workspace& ws_;
};

}  // namespace linea::studio
