// kernels/context.h: what every op needs besides its tensors. Passed down, never global.
#pragma once

#include <functional>
#include <string>

#include "core/arena.h"
#include "core/cancel.h"
#include "core/tensor.h"

namespace linea {

class Backend;      // kernels/backend.h
class ReplayCache;  // kernels/replay.h

struct Context {
  Backend* backend = nullptr;
  Arena* arena = nullptr;
  DType dtype = DType::kF32;  // of activations and matrix weights
  CancelToken cancel;
  // Named intermediate tensors for comparing with other implementations; null costs one check.
  std::function<void(const std::string& name, const Tensor& value)> tap;

  // Matrices that models load as 8-bit floats with a scale for each row, where the device multiplies those (Backend::multiplies_fp8).
  bool fp8 = false;

  // Where work that repeats may be kept captured; null: everything is submitted op by op.
  ReplayCache* replays = nullptr;

  // Ops check their arguments and do nothing: the forward pass only fills the arena's plan.
  bool planning() const { return arena->is_planning(); }
  Tensor allocate(Shape shape) { return arena->allocate(shape, dtype); }
  Tensor allocate(Shape shape, DType type) { return arena->allocate(shape, type); }
};

}  // namespace linea
