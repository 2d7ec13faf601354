// Matrix products that a packed GEMM is too heavy for.
//
// small_linear    few rows (time embedding, a short prompt): dot products along k, 4 rows of x by 4 rows of w in registers, each weight
//                 read from memory once. Every output has its own sixteen chains, whatever the number of rows.
// grouped_linear  DC-AE's 32→32 groups: rows of x times a 4 KB matrix that stays in the first-level cache.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/gemm_tile.h"
#include "kernels/cpu/simd/math.h"
#include "kernels/cpu/simd/transpose.h"

namespace linea::cpu::LINEA_ISA {
namespace {

// totals[i · kOutputBlock + j] = x row (m + i) · w row (n + j), spread over the lanes
template <int kRows, int kColumns, class T, class W> void dot_tile(const GemmParams& p, int64_t m, int64_t n, F32s* totals) {
  const T* x = static_cast<const T*>(p.x) + m * p.x_pitch;
  const W* w = static_cast<const W*>(p.w) + n * p.in;
  F32s chain[kRows][kColumns] = {};
  for_vectors(p.in, [&](int64_t k, auto lanes) {
    F32s right[kColumns];
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; ++j) right[j] = load(w + j * p.in + k, lanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const F32s left = load(x + i * p.x_pitch + k, lanes);
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) chain[i][j] += left * right[j];
    }
  });
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; ++j) totals[i * kOutputBlock + j] = chain[i][j];
  }
}

constexpr int kDotRows = kBytes == 64 ? 4 : 2;  // by 4 columns: 16 + 5 of 32 registers, or 8 + 5 of 16

template <class T, class W> void small_linear_blocks(const GemmParams& p, int64_t block_begin, int64_t block_end) {
  for (int64_t block = block_begin; block < block_end; ++block) {
    const int64_t n = block * kOutputBlock;
    const int64_t outputs = p.out - n < kOutputBlock ? p.out - n : kOutputBlock;
    int64_t rows = kDotRows;
    for (int64_t m = 0; m < p.rows; m += rows) {
      rows = m + kDotRows <= p.rows ? kDotRows : 1;
      F32s totals[kDotRows * kOutputBlock];
      int64_t j = 0;
      for (; j + 4 <= outputs; j += 4) {
        rows == 1 ? dot_tile<1, 4, T, W>(p, m, n + j, totals + j) : dot_tile<kDotRows, 4, T, W>(p, m, n + j, totals + j);
      }
      for (; j < outputs; ++j) {
        rows == 1 ? dot_tile<1, 1, T, W>(p, m, n + j, totals + j) : dot_tile<kDotRows, 1, T, W>(p, m, n + j, totals + j);
      }
      float sums[kDotRows * kOutputBlock];
      for (int64_t i = 0; i < rows; ++i) {
        for (j = 0; j < outputs; j += kLanes) {
          F32s lanes[kLanes];
#pragma GCC unroll 16
          for (int l = 0; l < kLanes; ++l) lanes[l] = j + l < outputs ? totals[i * kOutputBlock + j + l] : F32s{};
          store(sums + i * kOutputBlock + j, lane_sums(lanes));
        }
      }
      for (int64_t i = 0; i < rows; ++i) {
        const int64_t r = m + i;
        EpilogueParams e = {};
        e.x = sums + i * kOutputBlock;
        e.bias = p.bias ? p.bias + n : nullptr;
        e.gate = p.gate ? p.gate + r / p.rows_per_gate * p.gate_pitch + n : nullptr;
        e.rows_per_gate = 1;
        e.residual = p.residual ? advanced(p.residual, r * p.residual_pitch + n, p.y_type) : nullptr;
        e.y = advanced(p.y, r * p.y_pitch + n, p.y_type);
        e.dim = outputs;
        e.act = p.act;
        e.x_type = Element::kF32;
        e.y_type = p.y_type;
        epilogue(e, 0, 1);
      }
    }
  }
}

}  // namespace

void small_linear(const GemmParams& p, int64_t block_begin, int64_t block_end) {
  with_types(p, [&](auto type, auto w) { small_linear_blocks<TypeOf<decltype(type)>, TypeOf<decltype(w)>>(p, block_begin, block_end); });
}

void grouped_linear(const GroupedLinearParams& p, int64_t row_begin, int64_t row_end) {
  constexpr int64_t kRows = 2 * kTileRows;
  const int64_t d = p.group_size, padded = round_up(d);
  float x_tile[kRows * kMaxHeadDim], y_tile[kRows * kMaxHeadDim];
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    for (int64_t g = 0; g < p.groups; ++g) {
      for (int64_t r = row_begin; r < row_end; r += kRows) {
        const int64_t rows = row_end - r < kRows ? row_end - r : kRows;
        for (int64_t i = 0; i < rows; ++i) {
          const T* x = static_cast<const T*>(p.x) + (r + i) * p.x_pitch + g * d;
          for_vectors(d, [&](int64_t c, auto lanes) { store(x_tile + i * padded + c, load(x + c, lanes)); });
        }
        gemm<false>({x_tile, padded, 1, p.w + g * d * padded, padded, y_tile, padded, d}, rows, padded);
        for (int64_t i = 0; i < rows; ++i) {
          T* y = static_cast<T*>(p.y) + (r + i) * p.y_pitch + g * d;
          for_vectors(d, [&](int64_t c, auto lanes) { store(y + c, load(y_tile + i * padded + c), lanes); });
        }
      }
    }
  });
}

}  // namespace linea::cpu::LINEA_ISA
