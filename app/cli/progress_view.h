// app/cli/progress_view.h: progress on standard error.
#pragma once

#include <string>

#include "core/progress.h"

namespace linea::cli {

enum class ProgressStyle { kNone, kBar, kPlain, kJson };

// "auto" is a bar on a terminal and nothing else. Throws kUsage.
ProgressStyle parse_progress_style(const std::string& name);

class ProgressView {
 public:
  explicit ProgressView(ProgressStyle style) : style_(style) {}
  ~ProgressView() { clear(); }
  void set_item(int index, int count) { index_ = index, count_ = count; }
  void show(const Progress& progress);
  void clear();  // removes the bar, so that a message can be printed

 private:
  void show_bar(const Progress& progress);
  ProgressStyle style_;
  int index_ = 0, count_ = 1;
  bool drawn_ = false;
};

}  // namespace linea::cli
