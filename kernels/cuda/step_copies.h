// kernels/cuda/step_copies.h: for every block of the step kernel, what its copying threads bring into the ring or ask for ahead, in the
// order in which it is needed. Private to the recorder.
#pragma once

#include <vector>

#include "kernels/cuda/step_links.h"

namespace linea::cuda {

// The inputs that a block's units need.
std::vector<int> inputs_of(const StepProducts& all, int block);

class CopyLists {
 public:
  explicit CopyLists(int processors) : lists_(static_cast<size_t>(processors)) {}

  // The pieces of every block's units, and of its mixes' constants before them. `counts`: blocks ask ahead for what comes after them only
  // when all have these on their way.
  void append(const StepProducts& all, bool counts);
  // What is only asked for: a part for one block after the other, since what all need is asked for once.
  void append_early(const std::vector<MemoryRange>& ranges);

  int processors() const { return static_cast<int>(lists_.size()); }
  int counted() const { return counted_; }
  int64_t bytes() const;
  // One block's list after the other, each of `pitch`, with one of no bytes after its last.
  int pitch() const;
  std::vector<StepCopy> flat() const;

 private:
  std::vector<std::vector<StepCopy>> lists_;
  int counted_ = 0;
  size_t next_ = 0;
};

}  // namespace linea::cuda
