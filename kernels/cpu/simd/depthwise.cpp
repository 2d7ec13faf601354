// Depthwise convolution, stride 1, one filter a channel, on NHWC maps.
//
// Maths    u[h, w, c] = bias[c] + Σ_{ky,kx} w[ky, kx, c] x[h + ky - top, w + kx - k/2, c];   gated: y[c] = u[c] · silu(u[C/2 + c])
// Shape    SANA-0.6B at 1024²: 32×32 pixels, C = 5760: 1024·5760·9 = 53 M multiply-adds over 18 MB (bf16), bound by memory.
// Tiles    a task is kDepthwiseRows rows of kDepthwiseChannels channels. Its input, 32 columns at a time with their halo, is widened into
//          88 KB of f32 with zeros beyond the map's borders: lines are read once, and the maps' pitches (powers of two, which would all
//          fall into the same few cache sets) are gone. A sweep then takes one vector of channels of two rows from left to right: each
//          column is loaded once and feeds the k output columns that it touches, whose sums wait in a queue of k registers a row.
// Order    each sum runs over input columns, and within one over ky: it depends neither on the tile nor on the pairing of rows.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/math.h"

namespace linea::cpu::LINEA_ISA {
namespace {

constexpr int64_t kTileColumns = 32;
constexpr int kMaxKernel = 5;
constexpr int64_t kPitch = kDepthwiseChannels;  // of pixels in a tile
constexpr int64_t kTilePixels = kTileColumns + kMaxKernel - 1;
using Tile = float[kDepthwiseRows + kMaxKernel - 1][kTilePixels][kPitch];

// A block of output: rows [row, row_end) of one image, columns [column, column_end).
struct Block {
  int64_t row, row_end, column, column_end;
};

// The input of a block for channels [channel, channel + count), with its halo.
template <class T>
void fill_tile(const DepthwiseParams& p, const T* image, const Block& block, int64_t channel, int64_t count, Tile& tile) {
  const int64_t half = p.kernel / 2, rows = block.row_end - block.row + 2 * half, columns = block.column_end - block.column + 2 * half;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t y = block.row + i - p.pad_top;
    for (int64_t j = 0; j < columns; ++j) {
      const int64_t x = block.column + j - half;
      float* pixel = tile[i][j];
      if (y >= 0 && y < p.height && x >= 0 && x < p.width) {
        const T* from = image + (y * p.width + x) * p.channels + channel;
        prefetch(from + p.width * p.channels, count);
        for_vectors(count, [&](int64_t c, auto lanes) { store(pixel + c, load(from + c, lanes)); });
      } else {
        for (int64_t c = 0; c < count; c += kLanes) store(pixel + c, F32s{});
      }
    }
  }
}

// One vector of channels of kRows output rows from row `r` of the tile; emit(row index, column index, sum).
template <int kKernel, int kRows, class Lanes, class Emit>
inline void sweep(const DepthwiseParams& p, const Tile& tile, int64_t r, int64_t columns, int64_t tile_channel, int64_t channel,
                  Lanes lanes, Emit emit) {
  constexpr int kInputs = kKernel + kRows - 1;
  F32s weights[kKernel][kKernel];
#pragma GCC unroll 16
  for (int ky = 0; ky < kKernel; ++ky) {
#pragma GCC unroll 16
    for (int kx = 0; kx < kKernel; ++kx) weights[ky][kx] = load(p.w + (ky * kKernel + kx) * p.channels + channel, lanes);
  }
  const F32s bias = p.bias ? load(p.bias + channel, lanes) : F32s{};

  // sum[r][j] belongs to the output column j input columns to the left of the one that is being added, plus half a kernel.
  F32s sum[kRows][kKernel];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < kKernel; ++j) sum[i][j] = bias;
  }
  const float* pixel = &tile[r][0][tile_channel];
  const auto add_column = [&](int64_t x) {
    F32s column[kInputs];
#pragma GCC unroll 16
    for (int i = 0; i < kInputs; ++i) column[i] = load(pixel + (i * kTilePixels + x) * kPitch);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
      for (int ky = 0; ky < kKernel; ++ky) {
#pragma GCC unroll 16
        for (int j = 0; j < kKernel; ++j) sum[i][j] += weights[ky][j] * column[i + ky];
      }
    }
  };
  const auto advance = [&] {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
      for (int j = kKernel - 1; j > 0; --j) sum[i][j] = sum[i][j - 1];
      sum[i][0] = bias;
    }
  };
  for (int64_t x = 0; x < kKernel - 1; ++x) {  // fills the queue
    add_column(x);
    advance();
  }
  for (int64_t o = 0; o < columns; ++o) {
    add_column(o + kKernel - 1);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) emit(i, o, sum[i][kKernel - 1]);
    advance();
  }
}

template <int kKernel, int kRows, class T>
void convolve_rows(const DepthwiseParams& p, const Tile& values, const Tile& gates, T* y, const Block& block, int64_t row, int64_t channel,
                   int64_t count) {
  const int64_t out_channels = p.gated ? p.channels / 2 : p.channels;
  const int64_t r = row - block.row, columns = block.column_end - block.column;
  for_vectors(count, [&](int64_t c, auto lanes) {
    T* out = y + (row * p.width + block.column) * out_channels + channel + c;
    if (!p.gated) {
      sweep<kKernel, kRows>(p, values, r, columns, c, channel + c, lanes,
                            [&](int i, int64_t o, F32s u) { store(out + (i * p.width + o) * out_channels, u, lanes); });
      return;
    }
    F32s kept[kRows][kTileColumns];
    sweep<kKernel, kRows>(p, values, r, columns, c, channel + c, lanes, [&](int i, int64_t o, F32s u) { kept[i][o] = u; });
    sweep<kKernel, kRows>(p, gates, r, columns, c, out_channels + channel + c, lanes, [&](int i, int64_t o, F32s u) {
      store(out + (i * p.width + o) * out_channels, kept[i][o] * activate<Act::kSilu>(u), lanes);
    });
  });
}

template <int kKernel, class T>
void convolve_block(const DepthwiseParams& p, const T* x, T* y, const Block& block, int64_t channel, int64_t count) {
  alignas(64) Tile values, gates;
  fill_tile(p, x, block, channel, count, values);
  if (p.gated) fill_tile(p, x, block, p.channels / 2 + channel, count, gates);
  int64_t row = block.row;
  for (; row + 2 <= block.row_end; row += 2) convolve_rows<kKernel, 2>(p, values, gates, y, block, row, channel, count);
  if (row < block.row_end) convolve_rows<kKernel, 1>(p, values, gates, y, block, row, channel, count);
}

// Any kernel size, one output at a time.
template <class T, class Lanes>
F32s convolve_one(const DepthwiseParams& p, const T* x, int64_t row, int64_t o, int64_t channel, Lanes lanes) {
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
    const int64_t count = channel_end - channel_begin;
    if (p.kernel != 3 && p.kernel != 5) {
      for (int64_t row = row_begin; row < row_end; ++row) {
        for_vectors(count, [&](int64_t c, auto lanes) { convolve_row(p, x, y, row, channel_begin + c, lanes); });
      }
      return;
    }
    for (int64_t column = 0; column < p.width; column += kTileColumns) {
      const Block block = {row_begin, row_end, column, column + kTileColumns < p.width ? column + kTileColumns : p.width};
      p.kernel == 3 ? convolve_block<3>(p, x, y, block, channel_begin, count) : convolve_block<5>(p, x, y, block, channel_begin, count);
    }
  });
}

}  // namespace linea::cpu::LINEA_ISA
