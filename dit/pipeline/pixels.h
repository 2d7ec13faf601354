// dit/pipeline/pixels.h: between pictures of bytes and float maps in [-1, 1], on the host.
#pragma once

#include "core/image.h"
#include "core/tensor.h"
#include "dit/pipeline/aspect_ratio.h"

namespace linea {

// [1, H, W, 3] f32 to bytes (kernels/pixels.h).
Image to_image(const Tensor& nhwc);

// The top left H × W pixels as [1, H, W, 3] f32.
Tensor from_image(const Image& image, PictureSize size);

// The smallest enlargement or reduction that covers the wanted size, then its middle. Sizes are cut to whole pixels as the reference does,
// save where its floating-point product falls just short of a whole number.
Tensor resize_and_crop(const Tensor& image, PictureSize wanted);

}  // namespace linea
