// kernels/cuda/gemm_hopper_kernels.h: the two kernels behind gemm_hopper.h, and what they share.
#pragma once

#include "kernels/cuda/gemm_hopper.h"

namespace linea::cuda {

struct TileOperands;

// x and w in the boxes that tiles of so many columns are made of.
TileOperands tile_operands(const HopperGemm& call, int columns);

void plain_gemm(cudaStream_t stream, const HopperGemm& call, int device);  // without a residual
void ended_gemm(cudaStream_t stream, const HopperGemm& call, int device);  // with one

}  // namespace linea::cuda
