// kernels/cuda/small_linear.h: matrix products of a few rows, as decoding and embeddings of time steps have them.
#pragma once

#include <cuda_runtime_api.h>

#include <vector>

#include "kernels/ops.h"

namespace linea::cuda {

// y = residual + gate ⊙ act(x Wᵀ + bias), w [out, in] contiguous. A row's bits do not depend on the other rows or their number.
// False, and nothing submitted, when the rows are many or the layout has no 16-byte vectors.
bool small_linear(const char* op, cudaStream_t stream, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args);

// What the rows of an e4m3 matrix are multiplied by [out] f32; undefined for others.
Tensor row_scales(const Weight& w);

// Several products of equally many rows at once, as ops.h states them for project. Those that are submitted are taken from `projections`,
// which is all of them where it returns true.
bool small_projections(cudaStream_t stream, std::vector<Projection>& projections);

}  // namespace linea::cuda
