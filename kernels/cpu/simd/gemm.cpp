// y = epilogue(x Wᵀ) for the processors and types that oneDNN's own product does not serve (f16; anything before AVX-512; arm64).
//
// Tiles    a task is a block of at most kGemmRows × kGemmColumns of y. Its inner dimension is walked in steps of kGemmDepth: a
//          panel of W is widened and transposed (128 KB), the rows of x are widened (at most 192 KB), and register tiles add to
//          sums in scratch (96 KB).
// Order    each output is one chain over k, whatever the blocks: no result depends on threads, rows or neighbours.
// Cost     widening and transposing W takes about one instruction for 5 elements, against rows/32 multiply-adds of vectors.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/gemm_tile.h"
#include "kernels/cpu/simd/transpose.h"

namespace linea::cpu::LINEA_ISA {
namespace {

template <class T, class W>
void gemm_task(const GemmParams& p, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch) {
  float* panel = scratch;                           // [depth, kGemmColumns]
  float* left = panel + kGemmDepth * kGemmColumns;  // [rows, kGemmDepth]
  float* sums = left + kGemmRows * kGemmDepth;      // [rows, kGemmColumns]
  const int64_t padded = round_up(columns);
  for (int64_t k = 0; k < p.in; k += kGemmDepth) {
    const int64_t depth = p.in - k < kGemmDepth ? p.in - k : kGemmDepth;
    transpose_matrix(static_cast<const W*>(p.w) + column * p.in + k, p.in, columns, depth, panel, kGemmColumns);
    for (int64_t r = 0; r < rows; ++r) {
      const T* x = static_cast<const T*>(p.x) + (row + r) * p.x_pitch + k;
      for_vectors(depth, [&](int64_t i, auto lanes) { store(left + r * kGemmDepth + i, load(x + i, lanes)); });
    }
    const GemmOperands g = {left, kGemmDepth, 1, panel, kGemmColumns, sums, kGemmColumns, depth};
    k == 0 ? gemm<false>(g, rows, padded) : gemm<true>(g, rows, padded);
  }
  EpilogueParams e = {};
  e.x = sums;
  e.residual = p.residual ? advanced(p.residual, row * p.residual_pitch + column, p.y_type) : nullptr;
  e.y = advanced(p.y, row * p.y_pitch + column, p.y_type);
  e.bias = p.bias ? p.bias + column : nullptr;
  e.x_pitch = kGemmColumns;
  e.residual_pitch = p.residual_pitch;
  e.y_pitch = p.y_pitch;
  e.rows_per_gate = 1;
  e.dim = columns;
  e.act = p.act;
  e.y_type = p.y_type;
  if (!p.gate) return epilogue(e, 0, rows);
  for (int64_t r = 0; r < rows; ++r) {  // a block may cross from one batch member to the next
    e.gate = p.gate + (row + r) / p.rows_per_gate * p.gate_pitch + column;
    e.gate_pitch = 0;
    epilogue(e, r, r + 1);
  }
}

}  // namespace

void gemm_block(const GemmParams& p, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch) {
  with_types(p, [&](auto type, auto w) { gemm_task<TypeOf<decltype(type)>, TypeOf<decltype(w)>>(p, row, rows, column, columns, scratch); });
}

}  // namespace linea::cpu::LINEA_ISA
