// kernels/gate_ahead.h: a product's gate multiplied into its weights before the product's turn, where a device does so at all
// (cuda/gated_weights.h).
//
// That is a pass over memory for which weights and gate suffice, and the long products before it leave memory idle. In captured work it
// becomes a branch beside what is submitted until the product, and takes what that leaves of the device.
// Thread rule: product and GateAhead are the same thread's.
#pragma once

#include <memory>

#include "kernels/ops.h"

namespace linea {

class GateAhead {
 public:
  GateAhead() = default;
  // For `linear` with this matrix, bias and gate while the object lives, with rows [B, N, ·] like `rows`, whose values do not count. Takes
  // memory from ctx.arena, which must stay until then. Nothing where that product does otherwise.
  GateAhead(Context& ctx, const Tensor& rows, const Weight& w, const LinearArgs& args);

 private:
  std::shared_ptr<void> made_;
};

}  // namespace linea
