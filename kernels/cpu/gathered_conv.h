// kernels/cpu/gathered_conv.h: convolutions as products of gathered pixels with a matrix, for processors where oneDNN's own give other
// bits to a strip than to the whole map (arm64), or are slower (x86-64-v2, by a quarter).
#pragma once

#include "core/tensor.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/simd/kernels.h"

namespace linea::cpu {

// Whether convolutions are gathered: everywhere but on x86-64 with AVX2.
bool gathers_convolutions(const Kernels& kernels);

// A filter bank [out, in, kh, kw] f32 as its matrix [out, kh·kw·in].
Tensor filter_matrix(const Tensor& filter);

// As onednn::convolve with f32 maps; `kernel` is the filter's height and width. An output's sum runs over the filter in one order,
// whatever the strip.
void gathered_convolve(const Kernels& kernels, const Tensor& matrix, int64_t kernel, const onednn::Convolution& call);

}  // namespace linea::cpu
