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

}  // namespace
}  // namespace linea::cpu::LINEA_ISA
