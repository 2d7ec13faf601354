// Products of many rows with Q4_K, Q5_K or Q6_K in integers, for processors that multiply bytes and add up four products at once (VNNI).
//
// Maths      x = scale · (2^16 a + 2^8 b + c) as in interleaved.cpp, for each row of x and 256 elements. A group's sum
//            Σ (code - centre) · x is one integer: sums of the parts a, b and c follow each other in the same lane, which is shifted by
//            8 bits in between. It meets the group's scale in f32, and the sum of a block x's.
// Accuracy   x to 23 bits of the largest of its 256 elements; sums of integers without error: 2.5e-7 from exact for random rows, where
//            products in f32 are 5.0e-7 from it (9.7e-7 for rows of 3072). Every row of x is alone with the matrix, so no result depends
//            on other rows.
// Bounds     a group's sum must fit 32 bits: 32 · 15 · 2^22 (Q4_K), 32 · 16 · 2^22 (Q5_K) and 16 · 32 · 2^22 (Q6_K) do, for x of less
//            than 2^22. On the way there it may wrap round.
// Tile       4 rows × 2 vectors. A panel of 32 outputs × 256 codes, a byte each with four neighbours in a lane, and its scales are 11 KB,
//            four rows of x 3.5 KB: all in the first-level cache.
// Floor      for 32 × 16 products 24 instructions and two multiply-adds where f32 takes 32, on the same ports: 0.41 cycles for eight
//            products at one instruction of 64 bytes a cycle, where f32 cannot go below 0.50 (measured with all there is: 0.457 and
//            0.534). Shifts and conversions have other ports.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/gemm_ending.h"
#include "kernels/cpu/simd/interleaved_blocks.h"
#include "kernels/cpu/simd/split.h"

namespace linea::cpu::LINEA_ISA {
namespace {

constexpr int kVectors = 2, kTile = kVectors * kLanes;  // outputs of a panel
constexpr int kTileRows = 4;
constexpr int kSteps = kInterleavedElements / 4;  // of four codes

// What is taken from each code so that sums keep within their bounds, and whether a group has an offset besides.
template <class Q> constexpr int kCentre = 0;
template <> constexpr int kCentre<Q5K> = 16;
template <> constexpr int kCentre<Q6K> = 32;
template <class Q> constexpr bool kOffset = true;
template <> constexpr bool kOffset<Q6K> = false;

template <class Q> constexpr int kGroups = kInterleavedElements / Q::kGroup;

// ---- Rows of x -----------------------------------------------------------------------------------------------------------------------

// Sums of the integers of 64 elements from `first` on, of sixteen each.
inline void add_up(const FixedBlock& x, int first, int32_t* sums) {
  __m512i sum = _mm512_setzero_si512();
  for (const auto& part : x.parts)
    sum = _mm512_dpbusd_epi32(_mm512_slli_epi32(sum, 8), _mm512_set1_epi8(1), _mm512_loadu_si512(part + first));
  sum = _mm512_add_epi32(sum, _mm512_maskz_shuffle_epi32(0xffff, sum, _MM_PERM_CDAB));
  sum = _mm512_add_epi32(sum, _mm512_maskz_shuffle_epi32(0xffff, sum, _MM_PERM_BADC));
  constexpr __mmask16 kFirstOfFour = 0x1111;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(sums), _mm512_castsi512_si128(_mm512_maskz_compress_epi32(kFirstOfFour, sum)));
}

template <class Q> void fix_block(const float* x, FixedBlock& to) {
  constexpr int kLargest = (1 << 22) - 1;
  to.scale = split<kLargest>(x, to.parts);
  int32_t sums[16];
  for (int i = 0; i < 16; i += 4) add_up(to, 16 * i, sums + i);
  if constexpr (Q::kGroup == 16) {
    for (int g = 0; g < 16; ++g) to.centres[g] = kCentre<Q> * sums[g];
  } else {
    for (int g = 0; g < 8; ++g) {
      const int32_t sum = sums[2 * g] + sums[2 * g + 1];
      to.centres[g] = kCentre<Q> * sum;
      to.sums_of_32[g] = static_cast<float>(sum);
    }
  }
}

// ---- Panels --------------------------------------------------------------------------------------------------------------------------

template <class Q> struct Panel {
  uint8_t codes[kSteps][kTile][4];
  float scales[kGroups<Q>][kTile], offsets[kGroups<Q>][kTile];
};

// Eight outputs, or zeros.
template <class Q> void unpack_eight(const typename Q::Block& b, int n, Panel<Q>& panel) {
  for (int turn = 0; turn < Q::kTurns; ++turn) {
    for_runs<Q>([&]<int kRun>() {
      const int step = Q::template first<kRun>(turn) / 4;
      for (int v = 0; v < Q::kVectors; ++v) {
        const U8s codes = Q::template codes<kRun>(b, turn, v);
        __builtin_memcpy(panel.codes[step + v][n], &codes, sizeof(codes));
      }
    });
  }
  for (int g = 0; g < kGroups<Q>; ++g) {
    const F32x8 scales = Q::scales(b, g);
    store_eight(panel.scales[g] + n, scales);
    if constexpr (kOffset<Q>) store_eight(panel.offsets[g] + n, Q::offsets(b, g) - static_cast<float>(kCentre<Q>) * scales);
  }
}
template <class Q> void clear_eight(int n, Panel<Q>& panel) {
  for (auto& codes : panel.codes) __builtin_memset(codes[n], 0, 4 * kInterleavedRows);
  for (auto& scales : panel.scales) store_eight(scales + n, F32x8{});
  for (auto& offsets : panel.offsets) store_eight(offsets + n, F32x8{});
}

template <class Q> const typename Q::Block& block_of(const QuantizedLinearParams& p, int64_t row, int64_t block) {
  return static_cast<const typename Q::Block*>(p.interleaved)[row / kInterleavedRows * (p.in / kInterleavedElements) + block];
}

template <class Q> void unpack(const QuantizedLinearParams& p, int64_t column, int64_t columns, int64_t block, Panel<Q>& panel) {
  for (int n = 0; n < kTile; n += kInterleavedRows) {
    n < columns ? unpack_eight<Q>(block_of<Q>(p, column + n, block), n, panel) : clear_eight<Q>(n, panel);
  }
}

// The lines of the next panel's blocks: they come while this one is multiplied.
template <class Q> __attribute__((always_inline)) inline void ask_for_next(const QuantizedLinearParams& p, int64_t column, int64_t block) {
  const bool last = (block + 1) * kInterleavedElements == p.in;
  for (int64_t n = last ? column + kTile : column, end = n + kTile; n < end && n < p.out.out; n += kInterleavedRows) {
    prefetch(reinterpret_cast<const char*>(&block_of<Q>(p, n, last ? 0 : block + 1)), sizeof(typename Q::Block));
  }
}

// ---- Tiles ---------------------------------------------------------------------------------------------------------------------------

// kRows rows of x by a panel, of one block.
template <class Q, int kRows> struct Tile {
  const Panel<Q>& panel;
  const FixedBlock* x;
  F32s sum[kRows][kVectors] = {};
  __m512i whole[kRows][kVectors] = {};  // a group's sums

  // What a part adds to the group's sums.
  __attribute__((always_inline)) void add_part(int part, int group) {
#pragma GCC unroll 8
    for (int step = 0; step < Q::kGroup / 4; ++step) {
      const auto& codes = panel.codes[group * (Q::kGroup / 4) + step];
      __m512i w[kVectors];
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) w[j] = _mm512_loadu_si512(codes[j * kLanes]);
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        int32_t four;
        __builtin_memcpy(&four, x[i].parts[part] + group * Q::kGroup + 4 * step, sizeof(four));
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) whole[i][j] = _mm512_dpbusd_epi32(whole[i][j], w[j], _mm512_set1_epi32(four));
      }
    }
  }

  // visit(i, j) for all rows and vectors.
  template <class Visit> __attribute__((always_inline)) void for_all(Visit visit) {
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) visit(i, j);
    }
  }

  __attribute__((always_inline)) void add_group(int group) {
    for_all([&](int i, int j) __attribute__((always_inline)) { whole[i][j] = _mm512_setzero_si512(); });
#pragma GCC unroll 3
    for (int part = 0; part < kParts; ++part) {
      if (part > 0) for_all([&](int i, int j) __attribute__((always_inline)) { whole[i][j] = _mm512_slli_epi32(whole[i][j], 8); });
      add_part(part, group);
    }
    for_all([&](int i, int j) __attribute__((always_inline)) {
      if constexpr (kCentre<Q> != 0) whole[i][j] = _mm512_sub_epi32(whole[i][j], _mm512_set1_epi32(x[i].centres[group]));
      sum[i][j] += (F32s)_mm512_cvtepi32_ps(whole[i][j]) * load(panel.scales[group] + j * kLanes);
      if constexpr (kOffset<Q>) sum[i][j] -= load(panel.offsets[group] + j * kLanes) * x[i].sums_of_32[group];
    });
  }

  template <bool kAccumulate> void multiply(float* to) {
#pragma GCC unroll 1
    for (int group = 0; group < kGroups<Q>; ++group) add_group(group);
    for_all([&](int i, int j) __attribute__((always_inline)) {
      float* at = to + i * kTile + j * kLanes;
      store(at, kAccumulate ? load(at) + sum[i][j] * x[i].scale : sum[i][j] * x[i].scale);
    });
  }
};

template <class Q, int kRows, bool kAccumulate> void multiply_rest(const Panel<Q>& panel, const FixedBlock* x, int64_t rows, float* to) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return Tile<Q, kRows>{panel, x}.template multiply<kAccumulate>(to);
    multiply_rest<Q, kRows - 1, kAccumulate>(panel, x, rows, to);
  }
}

template <class Q, bool kAccumulate> void multiply_block(const Panel<Q>& panel, const FixedBlock* x, int64_t rows, float* to) {
  int64_t row = 0;
  for (; row + kTileRows <= rows; row += kTileRows) Tile<Q, kTileRows>{panel, x + row}.template multiply<kAccumulate>(to + row * kTile);
  multiply_rest<Q, kTileRows - 1, kAccumulate>(panel, x + row, rows - row, to + row * kTile);
}

template <class Q>
void multiply(const QuantizedLinearParams& p, const FixedBlock* x, int64_t row, int64_t rows, int64_t column, int64_t columns,
              float* scratch) {
  static_assert(sizeof(Panel<Q>) / sizeof(float) + kQuantizedRows * kTile <= kQuantizedScratch && kQuantizedColumns % kTile == 0);
  auto& panel = *static_cast<Panel<Q>*>(static_cast<void*>(scratch));
  float* sums = scratch + sizeof(panel) / sizeof(float);
  const int64_t blocks = p.in / kInterleavedElements;
  for (int64_t block = 0; block < blocks; ++block) {
    const FixedBlock* here = x + block * p.out.rows + row;
    unpack<Q>(p, column, columns, block, panel);
    ask_for_next<Q>(p, column, block);
    for_steps(p.out, row, rows, column, columns, block + 1 == blocks, sums, kTile, [&](int64_t first, int64_t count, float* to) {
      block == 0 ? multiply_block<Q, false>(panel, here + first, count, to) : multiply_block<Q, true>(panel, here + first, count, to);
    });
  }
}

void fix_rows(const QuantizedLinearParams& p, FixedBlock* to, int64_t row_begin, int64_t row_end) {
  with_layout(p, [&](auto layout) {
    for (int64_t row = row_begin; row < row_end; ++row) {
      for (int64_t b = 0; b < p.in / kInterleavedElements; ++b) {
        fix_block<decltype(layout)>(p.x + row * p.x_pitch + b * kInterleavedElements, to[b * p.out.rows + row]);
      }
    }
  });
}

void integer_gemm(const QuantizedLinearParams& p, const FixedBlock* x, int64_t row, int64_t rows, int64_t column, int64_t columns,
                  float* scratch) {
  with_layout(p, [&](auto layout) {
    for (int64_t c = 0; c < columns; c += kTile) {
      multiply<decltype(layout)>(p, x, row, rows, column + c, columns - c < kTile ? columns - c : kTile, scratch);
    }
  });
}

}  // namespace

const Kernels& kernels_of_bytes() {
  static const Kernels table = [] {
    Kernels result = kernels();
    result.name = "avx512_vnni";
    result.fix_rows = fix_rows;
    result.integer_gemm = integer_gemm;
    return result;
  }();
  return table;
}

}  // namespace linea::cpu::LINEA_ISA
