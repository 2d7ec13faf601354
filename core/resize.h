// core/resize.h: resampling of float pictures.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace linea {

// Bilinear with half-pixel centres and no antialiasing, as torch.nn.functional.interpolate(mode="bilinear", align_corners=False).
// x [1, H, W, C] f32 contiguous on the CPU -> [1, height, width, C].
Tensor resize_bilinear(const Tensor& x, int64_t height, int64_t width);

// The middle of x [1, H, W, C], whose offset is half the surplus rounded down. A view. Asserts that it fits.
Tensor centre_crop(const Tensor& x, int64_t height, int64_t width);

}  // namespace linea
