// kernels/cuda/quantized_mma.h: the products of quantized_linear.h for one or a few rows in 16 bits, on tensor cores.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/device/products.cuh"

namespace linea::cuda {

// Products with matrices of one type of block. False, and nothing submitted, where x is not of 16 bits or too long for shared memory.
bool quantized_mma(const char* op, cudaStream_t stream, DType type, Products& all);

}  // namespace linea::cuda
