// dit/pipeline/stage_report.h: what a stage of the pipeline tells its caller. Private to dit/pipeline.
#pragma once

#include <chrono>
#include <string>

#include "dit/pipeline/pipeline.h"

namespace linea {

inline std::string to_text(PictureSize size) { return std::to_string(size.width) + "x" + std::to_string(size.height); }

inline void trace(const GenerateCallbacks& callbacks, const std::string& name, const Tensor& value) {
  if (callbacks.trace) callbacks.trace(name, value);
}

class StageReport {
 public:
  // `first`: steps that were done in an earlier run and say nothing about the time.
  StageReport(const GenerateCallbacks& callbacks, const char* stage, int first = 0) : callbacks_(callbacks), stage_(stage), first_(first) {}

  void report(int step, int steps) const {
    if (!callbacks_.progress) return;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    callbacks_.progress({stage_, step, steps, seconds, step > first_ ? seconds / (step - first_) * (steps - step) : -1});
  }

 private:
  const GenerateCallbacks& callbacks_;
  const char* stage_;
  int first_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace linea
