// app/studio/toasts.h: short messages at the lower edge: errors with their details to copy, and actions that can be undone for 10 s.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/studio/ui.h"

namespace linea::studio {

enum class ToastKind : uint8_t { kGood, kInfo, kWarning, kBad };

struct Toast {
  ToastKind kind = ToastKind::kInfo;
  std::string text, details{};  // one sentence; the whole text for "Details"
  std::string action{};         // "Undo", "Retry"
  std::function<void()> on_action{};
  double shown = 0;   // set when it first appears
  bool open = false;  // details are shown
};

class Toasts {
 public:
  void show(Toast toast);
  void good(const std::string& text) { show({.kind = ToastKind::kGood, .text = text}); }
  void error(const std::string& text, const std::string& hint);
  void draw(Ui& ui, const Rect& window);
  size_t count() const { return toasts_.size(); }

 private:
  bool draw_toast(Ui& ui, size_t index, const Rect& window, float& bottom);
  bool draw_head(Ui& ui, Toast& toast, Rect row);
  static void draw_details(Ui& ui, const Toast& toast, const Rect& rect);

  std::vector<Toast> toasts_;
  std::function<void()> wanted_;  // the action that was clicked in this frame
};

}  // namespace linea::studio
