// kernels/cuda/quantized_mma.h: the products of quantized_linear.h for one or a few rows in 16 bits, on tensor cores.
#pragma once

#include <cuda_runtime_api.h>

#include <vector>

#include "kernels/cuda/device/products.cuh"
#include "kernels/ops.h"

namespace linea::cuda {

// Products with matrices of one type of block, or of 8-bit floats. False, and nothing submitted, where x is not of 16 bits or without
// 16-byte vectors, or too long for shared memory. Projections of plain matrices that fit in the same launch are submitted with them and
// taken from `beside`, which may be null; they have the bits of small_linear.h.
bool quantized_mma(const char* op, cudaStream_t stream, DType type, Products& all, std::vector<Projection>* beside);

}  // namespace linea::cuda
