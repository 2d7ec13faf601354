// kernels/cpu/simd/gemm_tile.h: small f32 matrix products out of the first-level cache, C (+)= A B.
//
// A is any strided matrix, B and C are rows of whole vectors (padded by the caller). A tile of kTileRows × 2 vectors stays in registers;
// each step of k loads two vectors of B and broadcasts one element of A per row. The sum over k is one chain per element of C, so no
// result depends on the tiling.
#pragma once

#include "kernels/cpu/simd/vec.h"

namespace linea::cpu::LINEA_ISA {
namespace {

constexpr int kTileRows = kBytes == 64 ? 8 : 6;  // 32 registers or 16

struct GemmOperands {
  const float* a;
  int64_t a_row, a_step;  // strides along m and k
  const float* b;
  int64_t b_pitch;
  float* c;
  int64_t c_pitch;
  int64_t depth;
};

template <int kRows, int kVectors, bool kAccumulate> inline void gemm_tile(const GemmOperands& g, int64_t m, int64_t n) {
  const float* a = g.a + m * g.a_row;
  const float* b = g.b + n;
  float* c = g.c + m * g.c_pitch + n;
  F32s sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) sum[i][j] = kAccumulate ? load(c + i * g.c_pitch + j * kLanes) : F32s{};
  }
  // With AVX2 one step is 20 instructions, of which 12 multiply; a loop's end after each of them would take a tenth of the time where
  // something else shares the core.
#pragma GCC unroll 4
  for (int64_t k = 0; k < g.depth; ++k) {
    F32s row[kVectors];
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) row[j] = load(b + k * g.b_pitch + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const float left = a[i * g.a_row + k * g.a_step];
#pragma GCC unroll 16
      for (int j = 0; j < kVectors; ++j) sum[i][j] += row[j] * left;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) store(c + i * g.c_pitch + j * kLanes, sum[i][j]);
  }
}

template <int kRows, bool kAccumulate> inline void gemm_rows(const GemmOperands& g, int64_t m, int64_t columns) {
  int64_t n = 0;
  for (; n + 2 * kLanes <= columns; n += 2 * kLanes) gemm_tile<kRows, 2, kAccumulate>(g, m, n);
  if (n < columns) gemm_tile<kRows, 1, kAccumulate>(g, m, n);
}

template <int kRows, bool kAccumulate> inline void gemm_remainder(const GemmOperands& g, int64_t m, int64_t rows, int64_t columns) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return gemm_rows<kRows, kAccumulate>(g, m, columns);
    gemm_remainder<kRows - 1, kAccumulate>(g, m, rows, columns);
  }
}

// C [rows, columns] with columns a multiple of kLanes.
template <bool kAccumulate> inline void gemm(const GemmOperands& g, int64_t rows, int64_t columns) {
  int64_t m = 0;
  for (; m + kTileRows <= rows; m += kTileRows) gemm_rows<kTileRows, kAccumulate>(g, m, columns);
  gemm_remainder<kTileRows - 1, kAccumulate>(g, m, rows - m, columns);
}

}  // namespace
}  // namespace linea::cpu::LINEA_ISA
