// kernels/cuda/device/functions.cuh: the functions of recurrent models, in f32.
#pragma once

#include "kernels/cuda/device/math.cuh"

namespace linea::cuda {

// The function is the same for a whole launch, or at least a block: the branch costs next to nothing and one kernel serves all.
__device__ inline float evaluate(float x, Function function) {
  switch (function) {
    case Function::kExp: return expf(x);
    case Function::kTanh: return tanhf(x);
    case Function::kSigmoid: return 1.0f / (1.0f + expf(-x));
    case Function::kSilu: return silu(x);
    case Function::kSoftplus: return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
    case Function::kReluSquared: return fmaxf(x, 0.0f) * fmaxf(x, 0.0f);
    default: return x;
  }
}

}  // namespace linea::cuda
