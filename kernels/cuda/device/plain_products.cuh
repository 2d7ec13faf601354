// kernels/cuda/device/plain_products.cuh: a block's share of products of a few rows with matrices in 16 or 32 bits or in e4m3, for the
// kernels of small_linear.cu and for those that make such products beside others (quantized_mma.cu).
//
// One to eight warps of a block share an output. A lane reads 16 bytes of W at a time, eight reads in flight, past the first-level cache;
// x comes from that cache, several reads at a time. The order of a sum depends on the shape of W alone.
#pragma once

#include <cuda_fp8.h>

#include "kernels/cuda/device/products.cuh"
#include "kernels/cuda/small_linear.h"

namespace linea::cuda {

constexpr int kPlainWarps = 8, kPlainAhead = 8;

// 16 bytes of W as floats.
template <class W> __device__ inline void widen(const uint4& raw, float (&v)[16 / sizeof(W)]) { load(reinterpret_cast<const W*>(&raw), v); }
template <> __device__ inline void widen<__nv_fp8_e4m3>(const uint4& raw, float (&v)[16]) {
  const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const auto pair = static_cast<__nv_fp8x2_storage_t>(words[i / 2] >> 16 * (i % 2) & 0xffff);
    const float2 values = __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(pair, __NV_E4M3)));
    v[2 * i] = values.x;
    v[2 * i + 1] = values.y;
  }
}

template <class T, int kWidth> __device__ inline void read_pack(const T* from, Pack<T, kWidth>& to) {
  to = *reinterpret_cast<const Pack<T, kWidth>*>(from);
}

// The output that a warp works on, its part of the sum, and the rows of x.
struct WarpShare {
  int output, part;
  int64_t first_row, rows;
};

// Adds this warp's part of an output's sums for kRows rows of x. The first reads of W begin before x is there, and so does what ends the
// sum of the lane's own row, if no kernel writes it.
template <int kRows, class T, class W>
__device__ inline void accumulate(const Product& p, const WarpShare& own, float (&sums)[kRows], Ending& ending) {
  constexpr int kWidth = 16 / sizeof(W);
  constexpr int kTogether = kRows == 1 && sizeof(W) == sizeof(T) ? 2 : 1;  // vectors of x asked for at once
  const int step = 32 * p.splits, vectors = p.vectors, lane = static_cast<int>(threadIdx.x) % 32;
  const T* x = static_cast<const T*>(p.x);
  const uint4* w = static_cast<const uint4*>(p.w) + static_cast<int64_t>(own.output) * vectors;
  int first = own.part * 32 + lane;
  uint4 raw[kPlainAhead];
#pragma unroll
  for (int i = 0; i < kPlainAhead; ++i) {
    if (first + i * step < vectors) raw[i] = __ldcs(w + first + i * step);
  }
  const bool ends = own.part == 0 && lane < kRows && own.first_row + lane < own.rows;
  if (ends) ending.read_weights(p, own.output);
  follow_previous();
  if (ends) ending.read_rows(p, own.first_row + lane, own.output);
  for (; first < vectors; first += step * kPlainAhead) {
#pragma unroll
    for (int g = 0; g < kPlainAhead; g += kTogether) {
      if (first + g * step >= vectors) break;
      Pack<T, kWidth> narrow[kTogether][kRows];
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const int current = first + (g + i) * step;
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          const int64_t row = min(own.first_row + r, own.rows - 1);  // sums of rows that do not exist are not stored
          if (current < vectors) read_pack(x + row * p.x_pitch + static_cast<int64_t>(current) * kWidth, narrow[i][r]);
        }
      }
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const int current = first + (g + i) * step, next = current + kPlainAhead * step;
        if (current >= vectors) break;
        float a[kWidth], b[kWidth];
        widen<W>(raw[g + i], a);
        if (next < vectors) raw[g + i] = __ldcs(w + next);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          load(narrow[i][r].element, b);
#pragma unroll
          for (int j = 0; j < kWidth; ++j) sums[r] = fmaf(a[j], b[j], sums[r]);
        }
      }
    }
  }
}

// The outputs of a block. add(share, sums, ending) is accumulate() for the types that the block has; `parts` is shared memory.
template <int kRows, class Add>
__device__ inline void multiply_plain(const Products& all, const Product& p, float (&parts)[kPlainWarps][kRows], const Add& add) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int output = (static_cast<int>(blockIdx.x) - p.first_block) * (kPlainWarps / p.splits) + warp / p.splits;
  const WarpShare own = {output, warp % p.splits, static_cast<int64_t>(blockIdx.y) * kRows, all.rows};
  float sums[kRows] = {};
  Ending ending;
  if (output < p.out) {
    add(own, sums, ending);
  } else {
    follow_previous();
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    sums[r] = sum_lanes(sums[r]);
    if (lane == 0) parts[warp][r] = sums[r];
  }
  __syncthreads();
  if (output >= p.out || own.part != 0 || lane >= kRows || own.first_row + lane >= all.rows) return;
  float sum = 0;
  for (int part = 0; part < p.splits; ++part) sum += parts[warp + part][lane];
  ending.store(p, own.first_row + lane, output, sum);
}

inline bool suits_plain(const Tensor& x, const Tensor& w) {
  if (x.dtype() != w.dtype() && (w.dtype() != DType::kF8E4M3 || x.dtype() == DType::kF32)) return false;
  const int64_t size = bytes_of(x.dtype()), w_row = x.dim(-1) * bytes_of(w.dtype());
  return w_row % 16 == 0 && is_aligned(x.raw(), x.row_pitch() * size) && is_aligned(w.raw(), w_row);
}

// How many warps share an output.
inline int splits_of(int64_t out, int64_t vectors) {
  constexpr int64_t kEnoughWarps = 5120;       // half as much again as 132 processors hold
  constexpr int64_t kLeastVectorsOfAWarp = 4;  // a lane's share, below which splitting a sum further only adds work
  int splits = 1;
  while (splits < kPlainWarps && out * splits < kEnoughWarps && vectors >= 2 * splits * 32 * kLeastVectorsOfAWarp) splits *= 2;
  return splits;
}

inline Product plain_product(const Tensor& x, const Weight& w, const Tensor& y, const Tensor& bias, const Tensor& residual) {
  Product p = product_base(x, w.data, y, bias, residual);
  p.w_scales = floats(row_scales(w));
  p.vectors = static_cast<int>(x.dim(-1) * bytes_of(w.data.dtype()) / 16);
  p.splits = splits_of(p.out, p.vectors);
  return p;
}
inline int64_t plain_blocks(const Product& p) { return ceil_div(p.out, kPlainWarps / p.splits); }

}  // namespace linea::cuda
