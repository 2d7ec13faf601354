// kernels/cpu/simd/gemm_ending.h: what comes after the sums of a matrix product.
#pragma once

#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/vec.h"

namespace linea::cpu::LINEA_ISA {
namespace {

// Sums of rows [row, row + rows) of x and columns [column, column + columns) of y through bias, activation, gate and residual.
inline void finish(const GemmParams& p, const float* sums, int64_t sums_pitch, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  EpilogueParams e = {};
  e.x = sums;
  e.bias = p.bias ? p.bias + column : nullptr;
  e.residual = p.residual ? advanced(p.residual, row * p.residual_pitch + column, p.y_type) : nullptr;
  e.y = advanced(p.y, row * p.y_pitch + column, p.y_type);
  e.x_pitch = sums_pitch;
  e.residual_pitch = p.residual_pitch;
  e.y_pitch = p.y_pitch;
  e.rows_per_gate = 1;
  e.dim = columns;
  e.act = p.act;
  e.y_type = p.y_type;
  if (!p.gate) return epilogue(e, 0, rows);
  for (int64_t begin = 0; begin < rows;) {  // a block may cross from one batch member to the next
    const int64_t member = (row + begin) / p.rows_per_gate, rest = (member + 1) * p.rows_per_gate - row;
    const int64_t end = rest < rows ? rest : rows;
    e.gate = p.gate + member * p.gate_pitch + column;
    epilogue(e, begin, end);
    begin = end;
  }
}

// Rows of y, or of the residual, at `base`, which finish() will write or read there: they come while the last products are summed. (Always
// inline: GCC takes a function that only prefetches for one without effect.)
__attribute__((always_inline)) inline void ask_for_rows(const GemmParams& p, const void* base, int64_t pitch, int64_t row, int64_t rows,
                                                        int64_t column, int64_t columns) {
  const int64_t bytes = columns * (p.y_type == Element::kF32 ? 4 : 2);
  for (int64_t r = row; r < row + rows; ++r) prefetch(static_cast<const char*>(advanced(base, r * pitch + column, p.y_type)), bytes);
}
__attribute__((always_inline)) inline void ask_for_residual(const GemmParams& p, int64_t row, int64_t rows, int64_t column,
                                                            int64_t columns) {
  if (p.residual) ask_for_rows(p, p.residual, p.residual_pitch, row, rows, column, columns);
}

// multiply(first, count, sums + first · pitch) for all rows in steps, which after the last products end while their sums are in the
// first-level cache.
template <class Multiply>
inline void for_steps(const GemmParams& p, int64_t row, int64_t rows, int64_t column, int64_t columns, bool last, float* sums,
                      int64_t pitch, Multiply multiply) {
  constexpr int64_t kStep = kBytes == 64 ? 8 : 6;  // whole tiles
  for (int64_t first = 0; first < rows; first += kStep) {
    const int64_t count = rows - first < kStep ? rows - first : kStep;
    if (last) {
      ask_for_residual(p, row + first, count, column, columns);
      ask_for_rows(p, p.y, p.y_pitch, row + first, count, column, columns);
    }
    multiply(first, count, sums + first * pitch);
    if (last) finish(p, sums + first * pitch, pitch, row + first, count, column, columns);
  }
}

}  // namespace
}  // namespace linea::cpu::LINEA_ISA
