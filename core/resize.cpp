#include "core/resize.h"

#include <algorithm>
#include <vector>

#include "core/threads.h"

namespace linea {
namespace {

// Where an output coordinate lies between two input coordinates. In float, each operation rounded, as torch computes it for pictures (for
// tiny or channels-last ones it fuses the multiply-add): far from the origin the rounding shows.
struct Tap {
  int64_t low, high;
  float weight;  // of `high`
};

std::vector<Tap> taps(int64_t from, int64_t to) {
  const float scale = static_cast<float>(from) / static_cast<float>(to);
  std::vector<Tap> result;
  for (int64_t i = 0; i < to; ++i) {
    const float position = std::max(scale * (static_cast<float>(i) + 0.5f) - 0.5f, 0.0f);
    const int64_t low = std::min(static_cast<int64_t>(position), from - 1);
    result.push_back({low, std::min(low + 1, from - 1), std::clamp(position - static_cast<float>(low), 0.0f, 1.0f)});
  }
  return result;
}

}  // namespace

Tensor resize_bilinear(const Tensor& x, int64_t height, int64_t width) {
  LINEA_ASSERT(x.rank() == 4 && x.dim(0) == 1 && x.dtype() == DType::kF32 && x.device().is_cpu() && x.is_contiguous());
  LINEA_ASSERT(x.elements() > 0 && height > 0 && width > 0);
  const int64_t channels = x.dim(3), input_pitch = x.dim(2) * channels;
  const std::vector<Tap> rows = taps(x.dim(1), height), columns = taps(x.dim(2), width);
  Tensor result({1, height, width, channels}, DType::kF32);
  parallel_for(height, 1, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const Tap& row = rows[static_cast<size_t>(y)];
      const float* low = x.data<float>() + row.low * input_pitch;
      const float* high = x.data<float>() + row.high * input_pitch;
      float* out = result.data<float>() + y * width * channels;
      for (const Tap& column : columns) {
        const int64_t left = column.low * channels, right = column.high * channels;
        for (int64_t c = 0; c < channels; ++c) {
          const float above = low[left + c] * (1 - column.weight) + low[right + c] * column.weight;
          const float below = high[left + c] * (1 - column.weight) + high[right + c] * column.weight;
          *out++ = above * (1 - row.weight) + below * row.weight;
        }
      }
    }
  });
  return result;
}

Tensor centre_crop(const Tensor& x, int64_t height, int64_t width) {
  LINEA_ASSERT(x.rank() == 4 && height <= x.dim(1) && width <= x.dim(2));
  return x.slice(1, (x.dim(1) - height) / 2, height).slice(2, (x.dim(2) - width) / 2, width);
}

}  // namespace linea
