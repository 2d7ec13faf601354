// y = epilogue(x Wᵀ) for the processors and types that oneDNN's own product does not serve (f16; anything before AVX-512; arm64).
//
// Tiles    a task is a block of at most kGemmRows × kGemmColumns of y. Its inner dimension is walked in steps of kGemmDepth: a
//          panel of W is widened and transposed (128 KB, from the second-level cache for every six rows), and register tiles add to sums
//          in scratch (256 KB). Rows of x in f32 are read where they lie, others are widened (192 KB).
// Order    each output is one chain over k, whatever the blocks: no result depends on threads, rows or neighbours.
// Cost     of the 12 multiply-adds that 20 instructions of a tile's step are, 95 to 100 % of what the processor has (AVX2); transposing W
//          takes as long as some 20 rows.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/gemm_ending.h"
#include "kernels/cpu/simd/gemm_tile.h"
#include "kernels/cpu/simd/transpose.h"

namespace linea::cpu::LINEA_ISA {
namespace {

template <class T> void widen_rows(const T* x, int64_t x_pitch, int64_t rows, int64_t depth, float* left) {
  for (int64_t r = 0; r < rows; ++r) {
    for_vectors(depth, [&](int64_t i, auto lanes) { store(left + r * kGemmDepth + i, load(x + r * x_pitch + i, lanes)); });
  }
}

template <class T, class W>
void gemm_task(const GemmParams& p, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch) {
  constexpr bool kInPlace = std::is_same_v<T, float>;
  float* panel = scratch;                           // [depth, kGemmColumns]
  float* left = panel + kGemmDepth * kGemmColumns;  // [kGemmStep, kGemmDepth]
  float* sums = left + kGemmStep * kGemmDepth;      // [rows, kGemmColumns]
  const int64_t padded = round_up(columns);
  for (int64_t k = 0; k < p.in; k += kGemmDepth) {
    const int64_t depth = p.in - k < kGemmDepth ? p.in - k : kGemmDepth;
    const bool last = k + depth == p.in;
    transpose_matrix(static_cast<const W*>(p.w) + column * p.in + k, p.in, columns, depth, panel, kGemmColumns);
    for (int64_t first = 0; first < rows; first += kGemmStep) {
      const int64_t count = rows - first < kGemmStep ? rows - first : kGemmStep;
      const T* x = static_cast<const T*>(p.x) + (row + first) * p.x_pitch + k;
      if (last) ask_for_residual(p, row + first, count, column, columns);
      GemmOperands g = {left, kGemmDepth, 1, panel, kGemmColumns, sums + first * kGemmColumns, kGemmColumns, depth};
      if constexpr (kInPlace) {
        g.a = x;
        g.a_row = p.x_pitch;
      } else {
        widen_rows(x, p.x_pitch, count, depth, left);
      }
      k == 0 ? gemm<false>(g, count, padded) : gemm<true>(g, count, padded);
      if (last) finish(p, g.c, kGemmColumns, row + first, count, column, columns);
    }
  }
}

}  // namespace

void gemm_block(const GemmParams& p, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch) {
  with_types(p, [&](auto type, auto w) { gemm_task<TypeOf<decltype(type)>, TypeOf<decltype(w)>>(p, row, rows, column, columns, scratch); });
}

}  // namespace linea::cpu::LINEA_ISA
