// kernels/cuda/quantize_rows.h: rows of a 16-bit matrix as 8-bit floats with a scale each.
#pragma once

#include <cuda_runtime_api.h>

#include "core/tensor.h"

namespace linea::cuda {

// x[r, i] ≈ scales[r] · y[r, i].   x [rows, D] bf16 or f16, D a multiple of 8; y e4m3, contiguous; scales [rows] f32.
constexpr int64_t kLongestQuantizedRow = 16384;
void quantize_rows(cudaStream_t stream, const Tensor& x, const Tensor& y, const Tensor& scales);

}  // namespace linea::cuda
