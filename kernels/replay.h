// kernels/replay.h: work that comes again and again with the same tensors (a decode step, a denoising step), captured where a device can.
//
// A captured piece of work costs one submission instead of one for each op. It must depend on nothing but the memory behind its tensors:
// no ids, numbers or shapes of the host that change from run to run.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace linea {

// Belongs to one context and must not outlive what the work reads, model weights among them.
class ReplayCache {
 public:
  // Everything by which two runs of the work can differ: the addresses of what it reads and writes.
  using Key = std::vector<const void*>;

  // Runs `work`, or what was captured of it: a key's first run prepares, the second is captured.
  void run(Context& ctx, Key key, const std::function<void()>& work);

 private:
  struct Entry {
    Key key;
    std::unique_ptr<Backend::CapturedWork> captured;  // null after the first run
  };
  std::vector<Entry> entries_;  // the oldest first
};

}  // namespace linea
