// kernels/cuda/conv_hopper_kernels.h: the two kernels behind conv_hopper.h, and the boxes that they ask the copy engine for.
#pragma once

#include <cuda_runtime_api.h>

#include "core/dtype.h"

namespace linea::cuda {

struct HopperConvParams;

// Tiles of pixels; and of the filters' 128 outputs, those that one request brings.
constexpr int kHaloTileRows = 16, kHaloTileColumns = 8, kHaloFilterRows = 64;
constexpr int kBoxTileRows = 16, kBoxTileColumns = 16, kBoxFilterRows = 128;

void halo_conv(cudaStream_t stream, DType type, bool enlarge, const HopperConvParams& p);  // the tile's pixels in one box, with their halo
void box_conv(cudaStream_t stream, DType type, bool enlarge, const HopperConvParams& p);   // a box for every filter position

}  // namespace linea::cuda
