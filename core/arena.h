// core/arena.h: stack allocation of activations.
//
// An arena is one block of a device's memory, handed out from the bottom up and given back by scopes. A *planning* arena hands out
// addresses that nobody may touch and only records the peak: running a forward pass on it (with a planning Context, whose ops do
// nothing) is how a stage states what memory it needs, so the plan and the run cannot disagree.
#pragma once

#include <cstdint>
#include <memory>

#include "core/tensor.h"

namespace linea {

class Arena {
 public:
  static Arena planning(Device device);
  Arena(Device device, int64_t capacity_bytes);  // throws kMemory

  // An uninitialised tensor that lives until the enclosing Scope ends. Throws kInternal when the plan was too small.
  Tensor allocate(Shape shape, DType dtype);

  bool is_planning() const { return planning_; }
  int64_t used() const { return used_; }
  int64_t peak() const { return peak_; }
  int64_t capacity() const { return capacity_; }
  Device device() const { return device_; }

  // Everything allocated after construction is given back at destruction.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), mark_(arena.used_) {}
    ~Scope() { arena_.used_ = mark_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    int64_t mark_;
  };

 private:
  explicit Arena(Device device) : device_(device), planning_(true) {}

  Device device_;
  bool planning_ = false;
  int64_t capacity_ = 0, used_ = 0, peak_ = 0;
  std::shared_ptr<void> block_;
};

}  // namespace linea
