// kernels/cuda/depthwise.h: what the kernels of depthwise convolution share.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/ops.h"

namespace linea::cuda {

// What happens to x on its way in: act(x + bias). Zero padding stays zero.
struct DepthwiseInput {
  Tensor bias{};  // [C] f32
  Activation activation = Activation::kNone;
};

// Whether the kernel of small filters and 16-bit types takes this call; it alone knows DepthwiseInput.
bool is_tiled_depthwise(const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args, const DepthwiseInput& input);
void tiled_depthwise(cudaStream_t stream, const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args,
                     const DepthwiseInput& input);

// The same for its gated 3×3 filters on maps of eight columns or more; tiled_depthwise calls it where it can. The bits are the same.
bool is_window_depthwise(const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args, const DepthwiseInput& input);
void window_depthwise(cudaStream_t stream, const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args,
                      const DepthwiseInput& input);

// The same as rows of e4m3, computed in halves, whose scales are some powers of 2: where the largest value of y's row, rounded to bf16, is
// not 0, it takes the place of at least 1 and less than 256. exponents [exponent_bytes(y's values)] i8 is scratch.
int64_t exponent_bytes(const Tensor& y);
void window_depthwise_rows(cudaStream_t stream, const Tensor& x, const Tensor& w, const ProductRows& y, const Tensor& exponents,
                           const DepthwiseArgs& args, const DepthwiseInput& input);

}  // namespace linea::cuda
