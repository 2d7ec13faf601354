// kernels/cuda/quantized_linear.h: matrix products with block-quantised weights, which stay quantised on the device.
//
// There a matrix has the bits of the file in another order, in tiles (device/blocks.cuh).
#pragma once

#include <cuda_runtime_api.h>

#include <span>
#include <vector>

#include "kernels/ops.h"

namespace linea::cuda {

// A matrix [out, in] in the file's order on the CPU -> in whole tiles on the CPU.
Tensor in_tiles(const Tensor& w);

// The products of projections with one row of x or a few, straight from the blocks, in one launch for each type of block. False, and
// nothing submitted, when one of them does not suit. The rows of x of all are equal in number.
// Projections of plain matrices that a launch has place for are submitted with it and taken from `beside`.
bool few_rows_fit(int64_t rows);
void quantized_projections(const char* op, cudaStream_t stream, std::span<const Projection> projections, const LinearArgs& args = {},
                           std::vector<Projection>* beside = nullptr);

// Rows [first, first + count) of w to values [count, in] of a float type.
void dequantize_rows(const char* op, cudaStream_t stream, const Tensor& w, int64_t first, int64_t count, const Tensor& values);

}  // namespace linea::cuda
