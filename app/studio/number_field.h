// app/studio/number_field.h: a number with a slider under it: drag, wheel, arrow keys, typing; double click gives the default back.
#pragma once

#include <string>
#include <string_view>

#include "app/studio/text_editor.h"
#include "app/studio/ui.h"

namespace linea::studio {

struct NumberRange {
  double low = 0, high = 100, step = 1;
  double slider_low = 0, slider_high = 0;  // what dragging covers; equal = no slider
  double fallback = 0;                     // on double click
  int decimals = 0;
};

class NumberField {
 public:
  // Returns true when `value` changed.
  bool draw(Ui& ui, std::string_view id, const Rect& rect, std::string_view label, double& value, const NumberRange& range,
            std::string_view tip = {});

 private:
  static void paint(Ui& ui, const Response& response, std::string_view label, const std::string& shown, double value,
                    const NumberRange& range);
  bool edit(Ui& ui, std::string_view id, const Rect& rect, std::string_view label, double& value, const NumberRange& range);
  void context_menu(Ui& ui, double& value, const NumberRange& range);

  bool editing_ = false, dragging_ = false;
  float drag_start_x_ = 0;
  double drag_start_ = 0;
  TextEditor editor_{false, 40};
};

std::string number_text(double value, int decimals);

}  // namespace linea::studio
