// kernels/cuda/batch_linear.h: matrix products of a batch's rows, 5 to 64, several in one launch; what a step of many texts is made of.
#pragma once

#include <cuda_runtime_api.h>

#include <span>

#include "kernels/ops.h"

namespace linea::cuda {

// Whether a projection suits: rows of x and a matrix of one 16-bit type in 16-byte vectors, on Hopper.
bool fits_batch(const Projection& p);

// The same for small matrices in f32.
bool fits_batch_f32(const Projection& p);

// The projections, all of which suit and have x of one type and equally many rows, as ops.h states them for project. A row's bits do not
// depend on the other rows.
void batch_projections(cudaStream_t stream, std::span<const Projection> projections);
void batch_f32_projections(cudaStream_t stream, std::span<const Projection> projections);

}  // namespace linea::cuda
