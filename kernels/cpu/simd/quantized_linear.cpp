// Products with block-quantised weights, which are never expanded in memory.
//
// Accuracy   a weight is scale · code - offset in f32, and the sums are f32: what the dequantised matrix would give.
// Few rows   weights stream once from memory: the codes of a part of 32 elements become floats in registers and are multiplied with
//            each row of x; a group's sum is scaled, and the offsets meet the group's sum of x.
// Many rows  a panel of kTile outputs by kQuantizedDepth elements is unpacked once, one output a lane, and multiplied by rows of x
//            out of the first-level cache (gemm_tile.h). Unpacking costs about one instruction for 4 weights, against rows/16
//            multiply-adds.
#include <cstddef>
#include <vector>

#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/gemm_ending.h"
#include "kernels/cpu/simd/gemm_tile.h"
#include "kernels/cpu/simd/quantized_blocks.h"
#include "kernels/cpu/simd/transpose.h"

namespace linea::cpu::LINEA_ISA {
namespace {

constexpr int kPart = 32;                // elements that codes() unpacks
constexpr int kChunks = kPart / kLanes;  // vectors of a part

// ---- Weights as floats ----------------------------------------------------------------------------------------------------------------

// A vector of a block's offsets; blocks of 32 have one.
template <int kCount> struct GroupFloats;
template <> struct GroupFloats<8> { using Type = float __attribute__((vector_size(32))); };
template <> struct GroupFloats<16> { using Type = F32x16; };
template <> struct GroupFloats<1> { using Type = float; };

// Offsets in the lanes of a vector, whose sum is all that counts.
inline F32s spread(float v) {
  F32s result = {};
  result[0] = v;
  return result;
}
template <class Offsets> inline F32s spread(const Offsets& v) {
  F32s parts[sizeof(Offsets) / sizeof(F32s) + 1] = {};
  __builtin_memcpy(parts, &v, sizeof(v));
  F32s result = parts[0];
  for (size_t i = 1; i < sizeof(Offsets) / sizeof(F32s); ++i) result += parts[i];
  return result;
}

// Scales and offsets of a block, read one by one: from memory that costs nothing, from a register it takes shuffles.
template <class Q> struct Groups {
  static constexpr int kCount = Q::kElements / Q::kGroup;
  static constexpr bool kOffset = Q::kOffset || Q::kZero != 0;
  alignas(kBytes) float scale[kCount * (kOffset ? 2 : 1)];  // and the offsets after them

  explicit Groups(const uint8_t* block) {
    Q::groups(block, scale);
    if constexpr (Q::kZero != 0) {
      for (int i = 0; i < kCount; ++i) scale[kCount + i] = scale[i] * static_cast<float>(Q::kZero);
    }
    if constexpr (kCount > 1) asm("" : "+m"(scale));  // the compiler would keep them in registers
  }
  float offset(int index) const { return scale[kCount + index]; }
};

// Part kPartIndex of a block: codes as floats, to be multiplied by their groups' scales.
template <class Q, int kPartIndex> struct Part {
  F32s code[kChunks];

  explicit Part(const uint8_t* block) {
#if defined(__AVX512F__)
    if constexpr (Q::kNibbles) {
      code[0] = shuffle(Q::levels(), Q::template lanes<kPartIndex, 0>(block));
      code[1] = shuffle(Q::levels(), Q::template lanes<kPartIndex, 1>(block));
      return;
    }
#elif defined(__AVX2__)
    if constexpr (requires { Q::template integers<kPartIndex, 0>(block); }) {
      convert<0>(block);
      return;
    }
#endif
    unpack<0>(Q::template codes<kPartIndex>(block));
  }

  static constexpr int group_of(int chunk) { return (kPartIndex * kPart + chunk * kLanes) / Q::kGroup; }

 private:
  template <int kChunk> __attribute__((always_inline)) void unpack(I8x32 codes) {
    if constexpr (kChunk < kChunks) {
      code[kChunk] = float_codes<kChunk>(codes);
      unpack<kChunk + 1>(codes);
    }
  }
#if defined(__AVX2__) && !defined(__AVX512F__)
  template <int kChunk> __attribute__((always_inline)) void convert(const uint8_t* block) {
    if constexpr (kChunk < kChunks) {
      code[kChunk] = (F32s)_mm256_cvtepi32_ps((__m256i)Q::template integers<kPartIndex, kChunk>(block));
      convert<kChunk + 1>(block);
    }
  }
#endif
};

// ---- Few rows ----------------------------------------------------------------------------------------------------------------------

constexpr int kChains = kLanes == 16 ? 4 : 2;  // of sums, for one row

// One row of the weights by kRows rows of x. Offsets are multiplied by the sums of x over their groups.
template <class Q, int kRows> struct DotTile {
  static constexpr int kGroupVectors = Q::kGroup / kLanes, kGroups = Groups<Q>::kCount;
  using Offsets = typename GroupFloats<kGroups>::Type;
  const QuantizedLinearParams& p;
  const float* x_sums;  // [rows, in / kGroup]
  int64_t row;
  F32s chain[kRows][kChains] = {};
  Offsets offset[kRows] = {};

  // One block of weights, whose elements begin at k; its groups take turns with the chains, from kFirst on.
  template <int kFirst> __attribute__((always_inline)) void add(const uint8_t* block, int64_t k) {
    const Groups<Q> groups(block);
    if constexpr (Groups<Q>::kOffset) {
      Offsets offsets, sums;
      __builtin_memcpy(&offsets, groups.scale + kGroups, sizeof(offsets));
      for (int i = 0; i < kRows; ++i) {
        __builtin_memcpy(&sums, x_sums + ((row + i) * p.in + k) / Q::kGroup, sizeof(sums));
        offset[i] += offsets * sums;
      }
    }
    add_parts<kFirst, 0>(block, groups, k);
  }

  template <int kFirst, int kPartIndex>
  __attribute__((always_inline)) void add_parts(const uint8_t* block, const Groups<Q>& groups, int64_t k) {
    if constexpr (kPartIndex < Q::kElements / kPart) {
      using W = Part<Q, kPartIndex>;
      const W w(block);
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        const float* x = p.x + (row + i) * p.x_pitch + k + kPartIndex * kPart;
#pragma GCC unroll 8
        for (int c = 0; c < kChunks; c += kGroupVectors) {
          F32s sum = w.code[c] * load(x + c * kLanes);
#pragma GCC unroll 8
          for (int j = 1; j < kGroupVectors; ++j) sum += w.code[c + j] * load(x + (c + j) * kLanes);
          chain[i][(kFirst + W::group_of(c)) % kChains] += sum * groups.scale[W::group_of(c)];
        }
      }
      add_parts<kFirst, kPartIndex + 1>(block, groups, k);
    }
  }

  // The sum for row i, spread over the lanes.
  F32s total(int i) const {
    F32s sum = chain[i][0];
    for (int c = 1; c < kChains; ++c) sum += chain[i][c];
    if constexpr (Groups<Q>::kOffset) sum -= spread(offset[i]);
    return sum;
  }
};

// totals[i] = row (row + i) of x · row n of the weights, spread over the lanes
template <class Q, int kRows> void dot_tile(const QuantizedLinearParams& p, const float* x_sums, int64_t row, int64_t n, F32s* totals) {
  DotTile<Q, kRows> tile{p, x_sums, row};
  const uint8_t* block = p.w + n * p.row_bytes;
  int64_t k = 0;
  if constexpr (Q::kElements == kPart) {
    for (; k + 4 * kPart <= p.in; k += 4 * kPart, block += 4 * Q::kBytes) {
      tile.template add<0>(block, k);
      tile.template add<1>(block + Q::kBytes, k + kPart);
      tile.template add<2>(block + 2 * Q::kBytes, k + 2 * kPart);
      tile.template add<3>(block + 3 * Q::kBytes, k + 3 * kPart);
    }
  }
  for (; k < p.in; k += Q::kElements, block += Q::kBytes) tile.template add<0>(block, k);
  for (int i = 0; i < kRows; ++i) totals[i] = tile.total(i);
}

// Of x over the groups of Q, all rows.
template <class Q> std::vector<float> group_sums(const QuantizedLinearParams& p) {
  std::vector<float> sums(static_cast<size_t>(p.out.rows * p.in / Q::kGroup));
  float* to = sums.data();
  for (int64_t row = 0; row < p.out.rows; ++row) {
    const float* x = p.x + row * p.x_pitch;
    for (int64_t k = 0; k < p.in; k += Q::kGroup) {
      F32s sum = load(x + k);
      for (int64_t j = kLanes; j < Q::kGroup; j += kLanes) sum += load(x + k + j);
      *to++ = horizontal_sum(sum);
    }
  }
  return sums;
}

// kRows rows of x, `outputs` outputs from n on, at most kOutputBlock.
template <class Q, int kRows>
void dot_outputs(const QuantizedLinearParams& p, const float* x_sums, int64_t row, int64_t n, int64_t outputs) {
  float sums[kRows * kOutputBlock];
  for (int64_t j = 0; j < outputs; j += kLanes) {
    F32s totals[kRows][kLanes] = {};
    for (int64_t l = 0; l < kLanes && j + l < outputs; ++l) {
      F32s one[kRows];
      dot_tile<Q, kRows>(p, x_sums, row, n + j + l, one);
      for (int i = 0; i < kRows; ++i) totals[i][l] = one[i];
    }
    for (int i = 0; i < kRows; ++i) store(sums + i * kOutputBlock + j, lane_sums(totals[i]));
  }
  finish(p.out, sums, kOutputBlock, row, kRows, n, outputs);
}

template <class Q> void dot_blocks(const QuantizedLinearParams& p, int64_t block_begin, int64_t block_end) {
  std::vector<float> sums;
  if constexpr (Groups<Q>::kOffset) sums = group_sums<Q>(p);
  for (int64_t block = block_begin; block < block_end; ++block) {
    const int64_t n = block * kOutputBlock, outputs = p.out.out - n < kOutputBlock ? p.out.out - n : kOutputBlock;
    for (int64_t m = 0; m < p.out.rows;) {
      const int64_t left = p.out.rows - m, rows = left >= 4 ? 4 : left >= 2 ? 2 : 1;
      rows == 4   ? dot_outputs<Q, 4>(p, sums.data(), m, n, outputs)
      : rows == 2 ? dot_outputs<Q, 2>(p, sums.data(), m, n, outputs)
                  : dot_outputs<Q, 1>(p, sums.data(), m, n, outputs);
      m += rows;
    }
  }
}

// ---- Many rows ---------------------------------------------------------------------------------------------------------------------

constexpr int kVectors = 2;
constexpr int kTile = kVectors * kLanes;  // outputs of a panel

using PartsOfRows = float[kLanes][kPart];

template <class Q, int kPartIndex> inline void store_parts(PartsOfRows* to, int row, const uint8_t* block, const Groups<Q>& groups) {
  if constexpr (kPartIndex < Q::kElements / kPart) {
    using W = Part<Q, kPartIndex>;
    const W w(block);
#pragma GCC unroll 8
    for (int c = 0; c < kChunks; ++c) {
      F32s value = w.code[c] * groups.scale[W::group_of(c)];
      if constexpr (Groups<Q>::kOffset) value -= groups.offset(W::group_of(c));
      store(to[kPartIndex][row] + c * kLanes, value);
    }
    store_parts<Q, kPartIndex + 1>(to, row, block, groups);
  }
}

// Rows [column, column + columns) of the weights as panel [depth, kTile]; beyond them zeros.
template <class Q> void unpack(const QuantizedLinearParams& p, int64_t column, int64_t columns, int64_t k, int64_t depth, float* panel) {
  alignas(kBytes) PartsOfRows parts[kQuantizedDepth / kPart];
  for (int v = 0; v < kVectors; ++v) {
    for (int r = 0; r < kLanes; ++r) {
      const int64_t n = v * kLanes + r;
      for (int64_t at = 0; at < depth; at += Q::kElements) {
        if (n < columns) {
          const uint8_t* block = p.w + (column + n) * p.row_bytes + (k + at) / Q::kElements * Q::kBytes;
          store_parts<Q, 0>(parts + at / kPart, r, block, Groups<Q>(block));
        } else {
          for (int64_t part = at / kPart; part < (at + Q::kElements) / kPart; ++part)
            __builtin_memset(parts[part][r], 0, sizeof(parts[part][r]));
        }
      }
    }
    for (int64_t i = 0; i < depth; i += kLanes) {
      F32s rows[kLanes];
#pragma GCC unroll 16
      for (int r = 0; r < kLanes; ++r) rows[r] = load(parts[i / kPart][r] + i % kPart);
      transpose(rows);
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j) store(panel + (i + j) * kTile + v * kLanes, rows[j]);
    }
  }
}

template <class Q>
void unpack_panel(const QuantizedLinearParams& p, int64_t column, int64_t columns, int64_t k, int64_t depth, float* panel) {
#if LINEA_INTERLEAVES
  static_assert(kTile % kInterleavedRows == 0 && kQuantizedDepth == kInterleavedElements);
  if (p.interleaved) return unpack_interleaved(p, column, columns, k, panel);
#endif
  unpack<Q>(p, column, columns, k, depth, panel);
}

template <class Q>
void multiply_block(const QuantizedLinearParams& p, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch) {
  float *panel = scratch, *sums = panel + kQuantizedDepth * kTile;
  for (int64_t k = 0; k < p.in; k += kQuantizedDepth) {
    const int64_t depth = p.in - k < kQuantizedDepth ? p.in - k : kQuantizedDepth;
    unpack_panel<Q>(p, column, columns, k, depth, panel);
    for_steps(p.out, row, rows, column, columns, k + depth == p.in, sums, kTile, [&](int64_t first, int64_t count, float* to) {
      const GemmOperands g = {p.x + (row + first) * p.x_pitch + k, p.x_pitch, 1, panel, kTile, to, kTile, depth};
      k == 0 ? gemm<false>(g, count, kTile) : gemm<true>(g, count, kTile);
    });
  }
}

}  // namespace

static_assert(kTile <= kQuantizedColumns && kQuantizedColumns % kTile == 0);

void quantized_dot(const QuantizedLinearParams& p, int64_t block_begin, int64_t block_end) {
  with_block(p.block, [&](auto type) { dot_blocks<decltype(type)>(p, block_begin, block_end); });
}

void quantized_gemm(const QuantizedLinearParams& p, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch) {
  with_block(p.block, [&](auto type) {
    for (int64_t c = 0; c < columns; c += kTile) {
      multiply_block<decltype(type)>(p, row, rows, column + c, columns - c < kTile ? columns - c : kTile, scratch);
    }
  });
}

}  // namespace linea::cpu::LINEA_ISA
