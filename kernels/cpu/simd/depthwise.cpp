// Depthwise convolution, stride 1, one filter a channel, on NHWC maps.
//
// Maths    u[h, w, c] = bias[c] + Σ_{ky,kx} w[ky, kx, c] x[h + ky - top, w + kx - k/2, c];   gated: y[c] = u[c] · silu(u[C/2 + c])
// Shape    SANA-0.6B at 1024²: 32×32 pixels, C = 5760: 1024·5760·9 = 53 M multiply-adds over 18 MB (bf16), bound by memory.
// Tiles    a sweep takes one vector of channels of two output rows from left to right. Each input column is loaded and converted once and
//          feeds the k output columns that it touches; their sums wait in a queue of k registers for each row. Rows outside of the map
//          read a vector of zeros. A task is a few rows of 64 channels, so that its lines stay in the first-level cache.
// Order    each sum runs over input columns, and within one over ky: it depends neither on the tile nor on the pairing of rows.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/math.h"

namespace linea::cpu::LINEA_ISA {
namespace {

constexpr int64_t kTileColumns = 64;

// Output columns [begin, end) of kRows rows from `row`, channels from `channel`; emit(row index, column, sum).
template <int kKernel, int kRows, class T, class Lanes, class Emit>
inline void sweep(const DepthwiseParams& p, const T* image, int64_t row, int64_t begin, int64_t end, int64_t channel, Lanes lanes,
                  Emit emit) {
  constexpr int kHalf = kKernel / 2, kInputs = kKernel + kRows - 1;
  static constexpr T kZeros[kLanes] = {};
  const T* input[kInputs];
  int64_t step[kInputs];
#pragma GCC unroll 16
  for (int i = 0; i < kInputs; ++i) {
    const int64_t y = row + i - p.pad_top;
    const bool inside = y >= 0 && y < p.height;
    input[i] = inside ? image + y * p.width * p.channels + channel : kZeros;
    step[i] = inside ? p.channels : 0;
  }
  F32s weights[kKernel][kKernel];
#pragma GCC unroll 16
  for (int ky = 0; ky < kKernel; ++ky) {
#pragma GCC unroll 16
    for (int kx = 0; kx < kKernel; ++kx) weights[ky][kx] = load(p.w + (ky * kKernel + kx) * p.channels + channel, lanes);
  }
  const F32s bias = p.bias ? load(p.bias + channel, lanes) : F32s{};

  // sum[r][j] belongs to the output column x + kHalf - j while input column x is being added.
  F32s sum[kRows][kKernel];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < kKernel; ++j) sum[r][j] = bias;
  }
  const auto add_column = [&](int64_t x) {
    F32s column[kInputs];
#pragma GCC unroll 16
    for (int i = 0; i < kInputs; ++i) column[i] = load(input[i] + x * step[i], lanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int ky = 0; ky < kKernel; ++ky) {
#pragma GCC unroll 16
        for (int j = 0; j < kKernel; ++j) sum[r][j] += weights[ky][j] * column[r + ky];
      }
    }
  };
  const auto advance = [&] {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int j = kKernel - 1; j > 0; --j) sum[r][j] = sum[r][j - 1];
      sum[r][0] = bias;
    }
  };
  for (int64_t x = begin - kHalf; x < begin + kHalf; ++x) {  // fills the queue
    if (x >= 0 && x < p.width) add_column(x);
    advance();
  }
  int64_t o = begin;
  for (; o < end && o + kHalf < p.width; ++o) {
    add_column(o + kHalf);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) emit(r, o, sum[r][kKernel - 1]);
    advance();
  }
  for (; o < end; ++o) {  // right border: only zeros come in
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) emit(r, o, sum[r][kKernel - 1]);
    advance();
  }
}

template <int kKernel, int kRows, class T, class Lanes>
void convolve_vector(const DepthwiseParams& p, const T* x, T* y, int64_t row, int64_t channel, Lanes lanes) {
  const int64_t out_channels = p.gated ? p.channels / 2 : p.channels;
  for (int64_t begin = 0; begin < p.width; begin += kTileColumns) {
    const int64_t end = begin + kTileColumns < p.width ? begin + kTileColumns : p.width;
    const auto out = [&](int r, int64_t column) { return y + ((row + r) * p.width + column) * out_channels + channel; };
    if (!p.gated) {
      sweep<kKernel, kRows>(p, x, row, begin, end, channel, lanes, [&](int r, int64_t o, F32s u) { store(out(r, o), u, lanes); });
    } else {
      F32s values[kRows][kTileColumns];
      sweep<kKernel, kRows>(p, x, row, begin, end, channel, lanes, [&](int r, int64_t o, F32s u) { values[r][o - begin] = u; });
      sweep<kKernel, kRows>(p, x, row, begin, end, out_channels + channel, lanes, [&](int r, int64_t o, F32s u) {
        store(out(r, o), values[r][o - begin] * activate<Act::kSilu>(u), lanes);
      });
    }
  }
}

// Any kernel size, one output at a time.
template <class T, class Lanes> F32s convolve_one(const DepthwiseParams& p, const T* x, int64_t row, int64_t o, int64_t channel, Lanes lanes) {
  F32s sum = p.bias ? load(p.bias + channel, lanes) : F32s{};
  for (int kx = 0; kx < p.kernel; ++kx) {
    const int64_t column = o + kx - p.kernel / 2;
    for (int ky = 0; ky < p.kernel; ++ky) {
      const int64_t line = row + ky - p.pad_top;
      if (column < 0 || column >= p.width || line < 0 || line >= p.height) continue;
      sum += load(p.w + (ky * p.kernel + kx) * p.channels + channel, lanes) *
             load(x + (line * p.width + column) * p.channels + channel, lanes);
    }
  }
  return sum;
}

template <class T, class Lanes> void convolve_row(const DepthwiseParams& p, const T* x, T* y, int64_t row, int64_t channel, Lanes lanes) {
  const int64_t out_channels = p.gated ? p.channels / 2 : p.channels;
  for (int64_t o = 0; o < p.width; ++o) {
    F32s u = convolve_one(p, x, row, o, channel, lanes);
    if (p.gated) u *= activate<Act::kSilu>(convolve_one(p, x, row, o, out_channels + channel, lanes));
    store(y + (row * p.width + o) * out_channels + channel, u, lanes);
  }
}

}  // namespace

void depthwise(const DepthwiseParams& p, int64_t image, int64_t row_begin, int64_t row_end, int64_t channel_begin, int64_t channel_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    const T* x = static_cast<const T*>(p.x) + image * p.height * p.width * p.channels;
    T* y = static_cast<T*>(p.y) + image * p.out_height * p.width * (p.gated ? p.channels / 2 : p.channels);
    for (int64_t row = row_begin; row < row_end; row += 2) {
      const bool pair = row + 1 < row_end;
      for_vectors(channel_end - channel_begin, [&](int64_t i, auto lanes) {
        const int64_t channel = channel_begin + i;
        switch (p.kernel) {
          case 3: return pair ? convolve_vector<3, 2>(p, x, y, row, channel, lanes) : convolve_vector<3, 1>(p, x, y, row, channel, lanes);
          case 5: return pair ? convolve_vector<5, 2>(p, x, y, row, channel, lanes) : convolve_vector<5, 1>(p, x, y, row, channel, lanes);
          default:
            convolve_row(p, x, y, row, channel, lanes);
            if (pair) convolve_row(p, x, y, row + 1, channel, lanes);
        }
      });
    }
  });
}

}  // namespace linea::cpu::LINEA_ISA
