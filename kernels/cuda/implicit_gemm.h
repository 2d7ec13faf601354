// kernels/cuda/implicit_gemm.h: convolutions as matrix products whose left side is gathered from the map, never materialised.
//
// A pixel's sum runs over filter rows, filter columns and channels in one fixed order and in one thread's (or one tensor core's) chain:
// its bits depend neither on where the pixel lies in the map nor on the map's height, so strips equal the whole.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/ops.h"

namespace linea::cuda {

// y[pixel, n] = residual + gate ⊙ act( Σ_{ky,kx,c} x[source(pixel, ky, kx), c] w[n, ky, kx, c] + bias )
struct ImplicitGemmParams {
  const void *x, *w, *residual;  // w [out, kernel, kernel, in]; residual may be null
  void* y;
  const float *bias, *gate;                              // may be null
  int64_t x_pitch, residual_pitch, y_pitch, gate_pitch;  // elements between pixels; between rows of the gate
  int rows_per_gate;
  int pixels;  // of y, over the batch
  int in, out, kernel, stride, pad_top, pad_left;
  int enlarge;  // 1: the filters see x enlarged 2× by repetition; else 0
  int height, width, out_height, out_width;
  bool vectorised;  // channels come in aligned groups of 16 bytes
  Activation activation;
};

void implicit_gemm(const char* op, cudaStream_t stream, DType type, const ImplicitGemmParams& p);

// The two kernels behind it: tensor cores for 16-bit types, multiply-adds for f32.
void implicit_gemm_16(const char* op, cudaStream_t stream, DType type, const ImplicitGemmParams& p);
void implicit_gemm_f32(const char* op, cudaStream_t stream, const ImplicitGemmParams& p);

}  // namespace linea::cuda
