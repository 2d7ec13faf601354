// kernels/cuda/gemm_hopper.h: e4m3 matrix products with everything that follows them, on sm_90's copy engine and warpgroup products.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/dtype.h"

namespace linea::cuda {

// y[r, o] = residual[r, o] + gate[r / rows_per_gate, o] · ( bias[o] + x_scales[r] · w_scales[o] · Σ_i w[o, i] x[r, i] )
// x [rows, in] and w [out, in] e4m3, contiguous; residual and y [rows, out] of `type`, bf16 or f16. Sums have one order whatever the number
// of rows. Without a residual, what is beyond the largest f16 becomes that.
struct HopperGemm {
  const void *x, *w;
  const float *x_scales, *w_scales;  // [rows], [out]
  const float* bias = nullptr;       // [out]
  const float* gate = nullptr;       // rows of gate_pitch; with a residual only
  const void* residual = nullptr;    // may be y
  void* y;
  int64_t rows, in, out;
  int64_t residual_pitch = 0, y_pitch, gate_pitch = 0;  // elements
  int64_t rows_per_gate = 1;
  DType type;
};

// Whether the kernel takes it on sm_90: rows, pitches and addresses of 16 bytes, outputs in groups of 16.
bool suits_hopper_gemm(const HopperGemm& call);
void hopper_gemm(cudaStream_t stream, const HopperGemm& call, int device);

}  // namespace linea::cuda
