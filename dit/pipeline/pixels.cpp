#include "dit/pipeline/pixels.h"

#include <algorithm>

#include "core/resize.h"
#include "core/threads.h"
#include "kernels/pixels.h"

namespace linea {

Image to_image(const Tensor& nhwc) {
  Image image{nhwc.dim(2), nhwc.dim(1), 3, std::vector<uint8_t>(static_cast<size_t>(nhwc.elements()))};
  to_pixels({nhwc.data<float>(), image.pixels.size()}, image.pixels);
  return image;
}

Tensor from_image(const Image& image, PictureSize size) {
  Tensor pixels({1, size.height, size.width, 3}, DType::kF32);
  const int64_t row = size.width * 3;
  parallel_for(size.height, 16, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const uint8_t* from = image.pixels.data() + y * image.width * 3;
      float* to = pixels.data<float>() + y * row;
      for (int64_t i = 0; i < row; ++i) to[i] = static_cast<float>(from[i]) / 255.0f * 2.0f - 1.0f;
    }
  });
  return pixels;
}

Tensor resize_and_crop(const Tensor& image, PictureSize wanted) {
  const double h = static_cast<double>(image.dim(1)), w = static_cast<double>(image.dim(2));
  const double ratio = std::max(static_cast<double>(wanted.height) / h, static_cast<double>(wanted.width) / w);
  const auto resized = [&](double side) { return static_cast<int64_t>(side * ratio + 1e-6); };
  const Tensor middle = centre_crop(resize_bilinear(image, resized(h), resized(w)), wanted.height, wanted.width);
  Tensor result(middle.shape(), DType::kF32);
  for (int64_t y = 0; y < wanted.height; ++y) {
    std::copy_n(middle.data<float>() + y * middle.stride(1), wanted.width * 3, result.data<float>() + y * wanted.width * 3);
  }
  return result;
}

}  // namespace linea
