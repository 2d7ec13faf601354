// kernels/glu_mbconv.h: the gated inverted bottleneck that SANA's feed-forward and DC-AE's blocks share (arXiv 2410.10629, §2.2).
//
//   u = silu(x W_invᵀ + b),  [v ; g] = depthwise3×3(u) + b_d,  y = (v ⊙ silu(g)) W_pointᵀ
#pragma once

#include "kernels/weight_loader.h"

namespace linea {

struct GluMbConv {
  Weight inverted;                   // [2H, D]
  Tensor inverted_bias;              // [2H]
  Tensor depthwise, depthwise_bias;  // [3, 3, 2H], [2H]
  Weight point;                      // [D, H]

  static GluMbConv load(const WeightLoader& w, int64_t channels, int64_t hidden);
};

// x, y [B, h, w, D], not aliased; `last` is added by the last product (residual and gate of LinearArgs). The hidden map is the largest
// activation of both models: beyond a fixed size it is computed in strips of rows with one row of halo, which gives the same numbers.
void glu_mbconv(Context& ctx, const GluMbConv& w, const ProductRows& x, const Tensor& y, const LinearArgs& last = {});

}  // namespace linea
