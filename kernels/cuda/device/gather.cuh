// kernels/cuda/device/gather.cuh: where the left side of an implicit matrix product comes from.
#pragma once

#include "kernels/cuda/implicit_gemm.h"

namespace linea::cuda {

// One pixel of y, as seen from x: the upper left corner of its window, in the (enlarged) map of its image.
template <class T> struct Window {
  const T* image = nullptr;
  int row = 0, column = 0;
  bool exists = false;

  __device__ Window(const ImplicitGemmParams& p, int pixel) {
    exists = pixel < p.pixels;
    if (!exists) return;
    const int line = pixel / p.out_width, member = line / p.out_height;
    row = (line - member * p.out_height) * p.stride - p.pad_top;
    column = (pixel - line * p.out_width) * p.stride - p.pad_left;
    image = static_cast<const T*>(p.x) + static_cast<int64_t>(member) * p.height * p.width * p.x_pitch;
  }

  // The channels under filter row ky and column kx; null where the window hangs over the border.
  __device__ const T* at(const ImplicitGemmParams& p, int ky, int kx) const {
    const int y = row + ky, x = column + kx;
    if (!exists || y < 0 || y >= p.height << p.enlarge || x < 0 || x >= p.width << p.enlarge) return nullptr;
    return image + (static_cast<int64_t>(y >> p.enlarge) * p.width + (x >> p.enlarge)) * p.x_pitch;
  }
};

// The inner dimension in steps of kDepth channels of one filter position; the last step of a position may be partly beyond the channels.
template <int kDepth> struct Step {
  int ky = 0, kx = 0, channel = 0;

  __device__ void advance(const ImplicitGemmParams& p) {
    channel += kDepth;
    if (channel < p.in) return;
    channel = 0;
    if (++kx < p.kernel) return;
    kx = 0;
    ++ky;
  }
};

}  // namespace linea::cuda
