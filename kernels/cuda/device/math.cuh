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

// silu(2 h) = h + h tanh(h) with the processor's tanh: one special function. Its absolute error, at most |h| 2^-11, adds 1e-4 to the
// relative error of a tensor in which rounding to bf16 alone makes 2e-3.
__device__ inline float silu_of_half(float h) {
  float t;
  asm("tanh.approx.f32 %0, %1;" : "=f"(t) : "f"(h));
  return fmaf(h, t, h);
}
__device__ inline float silu_16(float x) { return silu_of_half(0.5f * x); }
__device__ inline float activate_16(float x, Activation kind) { return kind == Activation::kSilu ? silu_16(x) : activate(x, kind); }

__device__ inline float exp2_16(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
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
