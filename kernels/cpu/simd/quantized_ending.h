// kernels/cpu/simd/quantized_ending.h: what comes after the sums of a product with a block-quantised matrix.
#pragma once

#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/vec.h"

namespace linea::cpu::LINEA_ISA {
namespace {

// Sums of rows [row, row + rows) of x and columns [column, column + columns) of y through bias, activation, gate and residual.
inline void finish(const QuantizedLinearParams& p, const float* sums, int64_t sums_pitch, int64_t row, int64_t rows, int64_t column,
                   int64_t columns) {
  EpilogueParams e = {};
  e.x = sums;
  e.bias = p.out.bias ? p.out.bias + column : nullptr;
  e.residual = p.out.residual ? advanced(p.out.residual, row * p.out.residual_pitch + column, p.out.y_type) : nullptr;
  e.y = advanced(p.out.y, row * p.out.y_pitch + column, p.out.y_type);
  e.x_pitch = sums_pitch;
  e.residual_pitch = p.out.residual_pitch;
  e.y_pitch = p.out.y_pitch;
  e.rows_per_gate = 1;
  e.dim = columns;
  e.act = p.out.act;
  e.y_type = p.out.y_type;
  if (!p.out.gate) return epilogue(e, 0, rows);
  for (int64_t r = 0; r < rows; ++r) {  // a block may cross from one batch member to the next
    e.gate = p.out.gate + (row + r) / p.out.rows_per_gate * p.out.gate_pitch + column;
    e.gate_pitch = 0;
    epilogue(e, r, r + 1);
  }
}

}  // namespace
}  // namespace linea::cpu::LINEA_ISA
