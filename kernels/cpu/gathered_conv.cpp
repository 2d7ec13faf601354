#include "kernels/cpu/gathered_conv.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

namespace linea::cpu {
namespace {

constexpr int64_t kPixels = 96;  // of one product: its gathered rows stay in the second-level cache, and repacking the matrix pays

float* scratch_of_thread(int64_t floats) {
  static thread_local std::vector<float> scratch;
  if (scratch.size() < static_cast<size_t>(floats)) scratch.resize(static_cast<size_t>(floats));
  return scratch.data();
}

// What the filter meets at an output pixel, zeros outside of the map.
void gather(const onednn::Convolution& c, int64_t in, int64_t kernel, int64_t pixel, float* to) {
  const int64_t top = pixel / c.out_width * c.stride - c.pad_top, left = pixel % c.out_width * c.stride - c.pad_left;
  const int64_t first = std::clamp<int64_t>(-left, 0, kernel), last = std::clamp<int64_t>(c.width - left, first, kernel);
  const auto row_bytes = [&](int64_t columns) { return static_cast<size_t>(columns * in) * sizeof(float); };
  for (int64_t row = top; row < top + kernel; ++row, to += kernel * in) {
    if (row < 0 || row >= c.height) {
      std::memset(to, 0, row_bytes(kernel));
      continue;
    }
    std::memset(to, 0, row_bytes(first));
    std::memcpy(to + first * in, static_cast<const float*>(c.x) + (row * c.width + left + first) * in, row_bytes(last - first));
    std::memset(to + last * in, 0, row_bytes(kernel - last));
  }
}

}  // namespace

bool gathers_convolutions(const Kernels& kernels) {
  return std::string_view(kernels.name) == "generic" || std::string_view(kernels.name) == "v2";
}

Tensor filter_matrix(const Tensor& filter) {
  const int64_t out = filter.dim(0), in = filter.dim(1), taps = filter.dim(2) * filter.dim(3);
  const Tensor matrix({out, taps * in}, DType::kF32);
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < in; ++i) {
      for (int64_t t = 0; t < taps; ++t) matrix.data<float>()[(o * taps + t) * in + i] = filter.data<float>()[(o * in + i) * taps + t];
    }
  }
  return matrix;
}

void gathered_convolve(const Kernels& kernels, const Tensor& matrix, int64_t kernel, const onednn::Convolution& c) {
  const int64_t out = matrix.dim(0), inner = matrix.dim(1), in = inner / (kernel * kernel), pixels = c.out_height * c.out_width;
  float* const gathered = scratch_of_thread(kGemmScratch + kPixels * inner) + kGemmScratch;
  for (int64_t first = 0; first < pixels; first += kPixels) {
    const int64_t rows = std::min(kPixels, pixels - first);
    for (int64_t i = 0; i < rows; ++i) gather(c, in, kernel, first + i, gathered + i * inner);
    float* const y = static_cast<float*>(c.y) + first * out;
    const GemmParams p = {.x = gathered,
                          .w = matrix.raw(),
                          .residual = c.accumulate ? y : nullptr,
                          .y = y,
                          .bias = c.bias,
                          .gate = nullptr,
                          .x_pitch = inner,
                          .residual_pitch = out,
                          .y_pitch = out,
                          .gate_pitch = 0,
                          .rows_per_gate = rows,
                          .rows = rows,
                          .in = inner,
                          .out = out,
                          .act = c.act,
                          .type = Element::kF32,
                          .w_type = Element::kF32,
                          .y_type = Element::kF32};
    for (int64_t column = 0; column < out; column += kGemmColumns) {
      kernels.gemm_block(p, 0, rows, column, std::min(kGemmColumns, out - column), gathered - kGemmScratch);
    }
  }
}

}  // namespace linea::cpu
