// kernels/cuda/device/math.cuh: activations and sums across a warp, in f32.
#pragma once

#include "kernels/ops.h"

namespace linea::cuda {

__device__ inline float silu(float x) { return x / (1.0f + expf(-x)); }

__device__ inline float gelu_tanh(float x) {
  constexpr float kRootTwoOverPi = 0.7978845608028654f;
  return 0.5f * x * (1.0f + tanhf(kRootTwoOverPi * (x + 0.044715f * x * x * x)));
}

// The kind is the same for a whole launch, so the branch costs next to nothing and one kernel serves all kinds.
__device__ inline float activate(float x, Activation kind) {
  switch (kind) {
    case Activation::kRelu: return fmaxf(x, 0.0f);
    case Activation::kSilu: return silu(x);
    case Activation::kGeluTanh: return gelu_tanh(x);
    default: return x;
  }
}

// Every lane gets the sum over `kLanes` consecutive lanes, added in one fixed order.
template <int kLanes = 32> __device__ inline float sum_lanes(float v) {
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) v += __shfl_xor_sync(0xffffffffu, v, offset);
  return v;
}

template <int kLanes = 32> __device__ inline float max_lanes(float v) {
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, offset));
  return v;
}

}  // namespace linea::cuda
