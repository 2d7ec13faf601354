// kernels/cuda/conv_hopper.h: 3×3 convolutions of 16-bit types on sm_90's copy engine and warpgroup products.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/ops.h"

namespace linea::cuda {

// What prepare_conv2d keeps beside the plain filters: those of an enlarged map, made when first needed.
struct FoldedFilters {
  Tensor filters;  // [4, out, 2, 2, in]: for each parity (row, column) of an enlarged map's pixel, the filters that fall together added up
};

// Whether this device and these shapes suit the kernel; nothing here depends on the map's height, so strips are computed as the whole.
bool is_hopper_conv(const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args);
void hopper_conv(cudaStream_t stream, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args);

}  // namespace linea::cuda
