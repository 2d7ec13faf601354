// kernels/pixels.h: from a picture's values in [-1, 1] to the bytes of its pixels: clamped, and rounded half to even as numpy does.
#pragma once

#include <span>

#include "kernels/ops.h"

namespace linea {

// On the host; as many as there are values. False if some of them are not numbers or infinite.
bool to_pixels(std::span<const float> values, std::span<uint8_t> pixels);

// Of x in f32, contiguous, on the context's device, where they are rounded: a quarter of the values' bytes come to the host. Returns when
// they are there, and what to_pixels would.
bool download_pixels(Context& ctx, const Tensor& x, std::span<uint8_t> pixels);

}  // namespace linea
