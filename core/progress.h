// core/progress.h: what a long operation tells its caller.
#pragma once

#include <functional>
#include <string>

namespace linea {

struct Progress {
  std::string stage;         // "load", "text", "denoise", "decode", "save"
  int step = 0;              // finished steps of this stage
  int steps = 0;             // 0 when the stage has no steps
  double seconds = 0;        // since the stage began
  double seconds_left = -1;  // estimate for this stage; negative while unknown
};

using ProgressCallback = std::function<void(const Progress&)>;  // empty = silent; called on the working thread

}  // namespace linea
