// kernels/cuda/device/tile.cuh: tiles of tokens in shared memory as f32, and products of them by 16×16 threads.
#pragma once

#include "kernels/cuda/device/vec.cuh"

namespace linea::cuda {

constexpr int kTileThreads = 256;

// Rows [0, rows) of d channels become rows of kWidth floats; the channels beyond d and the rows up to kRows become zeros.
template <int kRows, int kWidth, class T, class Map>
__device__ void load_tile(float* tile, int tile_pitch, const T* from, int64_t pitch, int rows, int d, Map map) {
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kWidth; i += kTileThreads) {
    const int row = i / kWidth, c = i % kWidth;
    tile[row * tile_pitch + c] = row < rows && c < d ? map(to_float(from[row * pitch + c])) : 0.0f;
  }
}

// sums[r][c] += Σ_k a(row, k) b[k, column] for the rows ty·kRows + r and the columns tx + 16·c of this thread;
// a(row, k) = a[row · a_row + k · a_inner].
template <int kRows, int kColumns>
__device__ inline void multiply_tiles(const float* a, int a_row, int a_inner, const float* b, int b_pitch, int inner,
                                      float (&sums)[kRows][kColumns]) {
  const int tx = static_cast<int>(threadIdx.x) % 16, ty = static_cast<int>(threadIdx.x) / 16;
  for (int k = 0; k < inner; ++k) {
    float u[kRows], v[kColumns];
#pragma unroll
    for (int r = 0; r < kRows; ++r) u[r] = a[(ty * kRows + r) * a_row + k * a_inner];
#pragma unroll
    for (int c = 0; c < kColumns; ++c) v[c] = b[k * b_pitch + tx + 16 * c];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) sums[r][c] = fmaf(u[r], v[c], sums[r][c]);
    }
  }
}

template <int kWidth> struct Width { static constexpr int value = kWidth; };
// Calls f(Width<w>) for the smallest tile width that holds d channels; false when there is none.
template <class F> bool with_width(int64_t d, F&& f) {
  if (d <= 32) return f(Width<32>{}), true;
  if (d <= 64) return f(Width<64>{}), true;
  if (d <= 128) return f(Width<128>{}), true;
  return false;
}

}  // namespace linea::cuda
