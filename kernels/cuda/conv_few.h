// kernels/cuda/conv_few.h: 3×3 convolutions of 16-bit types with at most eight outputs, as the decoder's last one.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/ops.h"

namespace linea::cuda {

bool is_few_conv(const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args);
void few_conv(cudaStream_t stream, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args);

}  // namespace linea::cuda
