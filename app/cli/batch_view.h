// app/cli/batch_view.h: how a batch tells what it is doing, on standard error.
#pragma once

#include <chrono>
#include <string>

#include "app/cli/progress_view.h"
#include "app/engine/job.h"

namespace linea::cli {

// bar: one line that is drawn anew. plain: a line a picture with the time, for logs. json: an object a line. "auto" is a bar on a terminal
// and plain elsewhere.
class BatchView {
 public:
  BatchView(ProgressStyle style, int64_t pictures, int64_t there) : style_(style), pictures_(pictures), there_(there) {}
  ~BatchView() { clear(); }

  void step(const Progress& progress);  // of any picture that is being made
  void picture(const PictureResult& result, const std::string& file);
  void failure(int64_t line, const std::string& reason);
  void clear();  // removes the bar, so that a message can be printed
  int64_t made() const { return made_; }
  int64_t failed() const { return failed_; }
  double seconds() const;
  double pictures_per_second() const;

 private:
  double seconds_left() const;  // negative while unknown
  void draw_bar(const std::string& doing);

  ProgressStyle style_;
  int64_t pictures_, there_;
  int64_t made_ = 0, failed_ = 0;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

std::string duration_text(double seconds);  // "42 s", "3 min 20 s", "2 h 5 min"

}  // namespace linea::cli
