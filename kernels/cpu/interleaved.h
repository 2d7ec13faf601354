// kernels/cpu/interleaved.h: block-quantised matrices with eight rows side by side, for products of few rows with AVX2 or AVX-512.
//
// The file has a row's codes one after the other, so that a vector holds those of one row and a group's sum lies across its lanes. Here a
// lane of 32 bits belongs to a row: products with four elements of x add up where they are, in 16 bits, and a scale is needed once a group
// (simd/interleaved.cpp). As much memory as in the file, but for the scales of Q4_K and Q5_K, which become bytes (1/36, 1/44 more).
#pragma once

#include "core/tensor.h"
#include "kernels/cpu/simd/kernels.h"

namespace linea::cpu {

// Whether this processor's kernels take the matrix so.
bool interleaves(const Kernels& kernels, DType type);

// Rows of blocks w [out, in], a contiguous tensor of Q4_K, Q5_K or Q6_K, as InterleavedQ4K, Q5K or Q6K [⌈out / 8⌉, in / 256]: rows that
// are missing in the last eight are zeros. On all threads.
Tensor interleaved(const Tensor& w);

}  // namespace linea::cpu
