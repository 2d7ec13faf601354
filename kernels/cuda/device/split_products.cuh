// kernels/cuda/device/split_products.cuh: products of f32 values on tensor cores: each value as two bf16 parts, high + low, within 2^-17
// of it. Of the four products of parts the one of both low parts is left out: 2^-16 of the whole, with the range of f32.
#pragma once

#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/vec.cuh"

namespace linea::cuda {

__device__ inline void split_pair(float a, float b, uint32_t& high, uint32_t& low) {
  high = pack_pair<__nv_bfloat16>(a, b);
  float near_a, near_b;
  unpack_pair<__nv_bfloat16>(high, near_a, near_b);
  low = pack_pair<__nv_bfloat16>(a - near_a, b - near_b);
}

// 16×16 values of one operand as a lane holds them. As the left one: all four registers are one tile. As the right one: two tiles of eight
// columns, registers 0 and 1, 2 and 3.
struct SplitFragment {
  uint32_t high[4], low[4];
};

// Sums of 16×16 results, in the layout of multiply(): two tiles of eight columns.
using Sums = float[2][4];

// Results as the left operand of the next product, the columns becoming its inner index.
__device__ inline SplitFragment split_sums(const Sums& sums) {
  SplitFragment f;
#pragma unroll
  for (int i = 0; i < 4; ++i) split_pair(sums[i / 2][i % 2 * 2], sums[i / 2][i % 2 * 2 + 1], f.high[i], f.low[i]);
  return f;
}

// sums += a b; operands that are exact in bf16 have no low part.
template <bool kLowA, bool kLowB> __device__ inline void multiply_split(Sums& sums, const SplitFragment& a, const SplitFragment& b) {
#pragma unroll
  for (int tile = 0; tile < 2; ++tile) multiply<__nv_bfloat16>(sums[tile], a.high, b.high[2 * tile], b.high[2 * tile + 1]);
  if constexpr (kLowA) {
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) multiply<__nv_bfloat16>(sums[tile], a.low, b.high[2 * tile], b.high[2 * tile + 1]);
  }
  if constexpr (kLowB) {
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) multiply<__nv_bfloat16>(sums[tile], a.high, b.low[2 * tile], b.low[2 * tile + 1]);
  }
}

// Sixteen rows in shared memory; the pitch keeps eight rows on different banks. Without kLow the values are exact in bf16.
template <int kColumns, bool kLow> struct alignas(16) SplitTile {
  static constexpr int kPitch = kColumns + 8;
  __nv_bfloat16 high[16][kPitch];
  __nv_bfloat16 low[kLow ? 16 : 1][kLow ? kPitch : 8];

  __device__ void put_pair(int row, int column, float a, float b) {
    uint32_t high_pair, low_pair;
    split_pair(a, b, high_pair, low_pair);
    *reinterpret_cast<uint32_t*>(&high[row][column]) = high_pair;
    if constexpr (kLow) *reinterpret_cast<uint32_t*>(&low[row][column]) = low_pair;
  }
  // Two neighbours of a 16-bit type as they lie together in memory; bf16 that is not split has no low part.
  template <class T, bool kSplit = kLow> __device__ void put_word(int row, int column, uint32_t word) {
    if constexpr (std::is_same_v<T, __nv_bfloat16> && !kSplit) {
      *reinterpret_cast<uint32_t*>(&high[row][column]) = word;
    } else {
      float a, b;
      unpack_pair<T>(word, a, b);
      put_pair(row, column, a, b);
    }
  }
  // A lane's results of 16×16 values, whose first column is `column`.
  __device__ void put_sums(int column, const Sums& sums, int lane) {
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half)
        put_pair(lane / 4 + 8 * half, column + 8 * tile + lane % 4 * 2, sums[tile][2 * half], sums[tile][2 * half + 1]);
    }
  }
  __device__ void read_pair(int row, int column, float (&v)[2]) const {
    load(&high[row][column], v);
    if constexpr (kLow) {
      float rest[2];
      load(&low[row][column], rest);
      v[0] += rest[0], v[1] += rest[1];
    }
  }

  // The sixteen columns from `column` as an operand. Rows of the left one are the tile's rows; columns of the right one are the tile's rows
  // (`rows`), or its columns (`columns`); rows of the left one are the tile's columns.
  __device__ SplitFragment left_rows(int column, int lane) const { return read<false>(lane % 16, column + lane / 16 * 8); }
  template <bool kReadLow = kLow> __device__ SplitFragment right_rows(int column, int lane) const {
    return read<false, kReadLow>(lane / 16 * 8 + lane % 8, column + lane / 8 % 2 * 8);
  }
  __device__ SplitFragment left_columns(int column, int lane) const {
    return read<true>(lane / 16 * 8 + lane % 8, column + lane / 8 % 2 * 8);
  }
  __device__ SplitFragment right_columns(int column, int lane) const { return read<true>(lane % 16, column + lane / 16 * 8); }

 private:
  template <bool kTransposed, bool kReadLow = kLow> __device__ SplitFragment read(int row, int column) const {
    SplitFragment f;
    if constexpr (kTransposed) {
      load_matrices_transposed(f.high, &high[row][column]);
      if constexpr (kReadLow) load_matrices_transposed(f.low, &low[row][column]);
    } else {
      load_matrices(f.high, &high[row][column]);
      if constexpr (kReadLow) load_matrices(f.low, &low[row][column]);
    }
    return f;
  }
};

}  // namespace linea::cuda
