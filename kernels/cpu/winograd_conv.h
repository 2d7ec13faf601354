// kernels/cpu/winograd_conv.h: 3×3 convolutions of stride 1, also of enlarged maps, by Winograd's minimal filtering in tiles of 2×2 outputs
// (simd/winograd.cpp says how): 4/9 of the multiplications of a plain one, 9/16 of those of an enlarging one's four 2×2 convolutions.
//
// Tiles begin at the even rows of the whole map (Conv2dArgs::first_row), so that a strip has its bits.
#pragma once

#include <mutex>

#include "core/tensor.h"
#include "kernels/cpu/simd/kernels.h"
#include "kernels/ops.h"

namespace linea::cpu {

// Whether maps of bf16 are convolved as they are, by oneDNN, which has instructions for that with AVX-512. Else they are computed in f32.
bool convolves_bf16(const Kernels& kernels);

// Whether maps of this type with so many channels are convolved in tiles: all but those of the line above, unless there are so few channels
// that the transforms cost more than they save.
bool uses_winograd(const Kernels& kernels, Element type, int64_t in, bool enlarging);

// Bytes of a transformed filter bank.
int64_t winograd_filter_bytes(const Kernels& kernels, int64_t out, int64_t in, bool enlarging);

class WinogradFilter {
 public:
  // plain [out, in, 3, 3] f32. It is transformed at the first use: the other form may never be asked for.
  explicit WinogradFilter(Tensor plain) : plain_(std::move(plain)) {}

  // As conv2d of ops.h with stride 1; maps of any type. Scratch from the arena.
  void convolve(Context& ctx, const Kernels& kernels, const Tensor& x, const Tensor& y, const Conv2dArgs& args);

 private:
  const float* transformed(const Kernels& kernels, bool enlarging);

  Tensor plain_;
  Tensor transformed_[2];  // by `enlarging`
  std::once_flag once_[2];
};

}  // namespace linea::cpu
