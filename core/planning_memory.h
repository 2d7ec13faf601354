// core/planning_memory.h: a device's memory that is only counted, so that loading a model says what it would take.
//
// Within a Scope, the calling thread's allocations on the device are counted and, on a GPU, get addresses that nobody may touch (the GPU
// need not exist); on the CPU they get memory whose pages come into being only when touched. Checkpoints then give tensors without data.
// The code that loads and the code that runs are the same as without it, so plan and run cannot disagree.
#pragma once

#include <memory>

#include "core/memory_use.h"
#include "core/tensor.h"

namespace linea {

class PlanningMemory {
 public:
  explicit PlanningMemory(Device device);
  ~PlanningMemory();  // after all tensors that were allocated in its scopes
  PlanningMemory(const PlanningMemory&) = delete;
  PlanningMemory& operator=(const PlanningMemory&) = delete;

  MemoryUse use() const { return meter_.use(); }
  void reset_peak() { meter_.reset_peak(); }
  Device device() const { return device_; }
  Allocator& allocator() { return *allocator_; }

  class Scope {
   public:
    explicit Scope(PlanningMemory& memory);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    PlanningMemory* before_;
  };

  static PlanningMemory* active();  // of the calling thread; null = allocations are real

  // A host tensor that stands for a checkpoint's, contents zero or undefined. `counts`: it takes memory where the model is planned for the
  // CPU, as a converted copy does and a view of a mapped file does not.
  static Tensor placeholder(Shape shape, DType dtype, bool counts);

 private:
  Device device_;
  MemoryMeter meter_;
  std::unique_ptr<Allocator> allocator_;
};

}  // namespace linea
