// kernels/cpu/simd/transpose.h: a square of vectors, transposed in registers.
#pragma once

#include "kernels/cpu/simd/vec.h"

namespace linea::cpu::LINEA_ISA {
namespace {

// One stage exchanges the off-diagonal halves of blocks of 2·kStep lanes: lane l of row i holds bit kStep of l = 0 from row i, = 1 from the
// row kStep below.
template <int kStep> inline void transpose_stage(F32s (&rows)[kLanes]) {
  I32s upper, lower;
#pragma GCC unroll 16
  for (int l = 0; l < kLanes; ++l) {
    upper[l] = (l & kStep) ? kLanes + l - kStep : l;
    lower[l] = (l & kStep) ? kLanes + l : l + kStep;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & kStep) continue;
    const F32s a = rows[i], b = rows[i + kStep];
    rows[i] = shuffle(a, b, upper);
    rows[i + kStep] = shuffle(a, b, lower);
  }
}

inline void transpose(F32s (&rows)[kLanes]) {
  transpose_stage<1>(rows);
  transpose_stage<2>(rows);
  if constexpr (kLanes >= 8) transpose_stage<4>(rows);
  if constexpr (kLanes >= 16) transpose_stage<8>(rows);
}

// Lane j of the result is horizontal_sum(rows[j]), bit by bit, for less work than one by one.
inline F32s lane_sums(F32s (&rows)[kLanes]) {
  transpose(rows);
#pragma GCC unroll 16
  for (int width = kLanes / 2; width > 0; width /= 2) {
#pragma GCC unroll 16
    for (int j = 0; j < width; ++j) rows[j] += rows[j + width];
  }
  return rows[0];
}

// out[c · pitch + r] = rows[r][c] for r < kLanes, c < lanes.count; rows beyond `count` read as zeros.
template <class T, class Lanes>
inline void transpose_block(const T* in, int64_t in_pitch, int64_t count, Lanes lanes, float* out, int64_t out_pitch) {
  F32s rows[kLanes];
#pragma GCC unroll 16
  for (int r = 0; r < kLanes; ++r) rows[r] = r < count ? load(in + r * in_pitch, lanes) : F32s{};
  transpose(rows);
  for (int c = 0; c < lanes.count; ++c) store(out + c * out_pitch, rows[c]);
}

// out [columns, round_up(rows)] = the transpose of in [rows, columns], padded with zeros.
template <class T>
inline void transpose_matrix(const T* in, int64_t in_pitch, int64_t rows, int64_t columns, float* out, int64_t out_pitch) {
  for (int64_t r = 0; r < rows; r += kLanes) {
    for_vectors(columns, [&](int64_t c, auto lanes) {
      transpose_block(in + r * in_pitch + c, in_pitch, rows - r, lanes, out + c * out_pitch + r, out_pitch);
    });
  }
}

}  // namespace
}  // namespace linea::cpu::LINEA_ISA
