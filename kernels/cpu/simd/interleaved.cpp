// Products of few rows with block-quantised matrices whose rows lie eight side by side (interleaved.h), in integers.
//
// Maths      x = scale · (2^16 a + 2^8 b + c) with parts of 8 bits, once for each row of x and 256 elements. For each part, sums over a
//            group of Σ code · part are exact in 16 bits, those over a block of Σ group's scale · group's sum in 32; then the parts'
//            three sums, the block's scale and x's meet in f32. Offsets, also the zero of Q6_K's codes, are multiplied by sums of x.
// Accuracy   x to 24 bits of the largest of its 256 elements, 2^-24 of it at most; codes and sums without error: 1.1e-7 from exact for
//            random rows, where products in f32 are 1.0e-7 from it. No rounding depends on how many rows of x there are.
// Bounds     a code has 4 (5, 6) bits, a part is at least -128: eight (four, two) vectors of four codes a row are 8 · 2 · 15 · 128,
//            4 · 2 · 31 · 128 or 2 · 2 · 63 · 128 < 2^15 in a lane of 16 bits; by scales of 63 (Q6_K 128) and over a block less than 2^31.
// Cost       Q4_K about 9 instructions for 32 codes where floats take 14, Q6_K 13 for 20.
#include "kernels/cpu/simd/declare.h"

#if LINEA_INTERLEAVES

#include "kernels/cpu/simd/gemm_ending.h"
#include "kernels/cpu/simd/interleaved_blocks.h"
#include "kernels/cpu/simd/split.h"

namespace linea::cpu::LINEA_ISA {
namespace {

// ---- Few rows ------------------------------------------------------------------------------------------------------------------------

// Four neighbouring codes of each row by those elements of a part of x, in two sums of two.
inline __m256i products(U8s codes, const int8_t* part) {
  int32_t four;
  __builtin_memcpy(&four, part, sizeof(four));
  return _mm256_maddubs_epi16((__m256i)codes, _mm256_set1_epi32(four));
}

// Σ of a block's scales, codes and parts of x, without the block's own scale.
template <class Q, int kRows> struct BlockSums {
  __m256i sum[kRows][kParts];

  __attribute__((always_inline)) BlockSums(const typename Q::Block& b, const SplitBlock* const (&x)[kRows]) {
    for (auto& row : sum)
      for (auto& part : row) part = _mm256_setzero_si256();
#pragma GCC unroll 1
    for (int turn = 0; turn < Q::kTurns; ++turn) {
      ask_ahead(b, turn);
      for_runs<Q>([&]<int kRun>() __attribute__((always_inline)) {
        const int first = Q::template first<kRun>(turn);
        __m256i run[kRows][kParts];
#pragma GCC unroll 8
        for (int v = 0; v < Q::kVectors; ++v) {
          const U8s codes = Q::template codes<kRun>(b, turn, v);
#pragma GCC unroll 2
          for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
            for (int part = 0; part < kParts; ++part) {
              const __m256i p = products(codes, x[i]->parts[part] + first + 4 * v);
              run[i][part] = v == 0 ? p : _mm256_add_epi16(run[i][part], p);
            }
          }
        }
        const __m256i scales = pairs_of(b.scales[first / Q::kGroup]);
#pragma GCC unroll 2
        for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
          for (int part = 0; part < kParts; ++part) {
            sum[i][part] = _mm256_add_epi32(sum[i][part], _mm256_madd_epi16(run[i][part], scales));
          }
        }
      });
    }
  }

  // A turn's share of what comes 4 KB later: a block's vectors are not read in order, which the processor's own prefetching does not
  // follow.
  static void ask_ahead(const typename Q::Block& b, int turn) {
    constexpr int kAhead = 4096, kShare = sizeof(typename Q::Block) / Q::kTurns;
    for (int at = 0; at < kShare; at += 64) __builtin_prefetch(reinterpret_cast<const char*>(&b) + kAhead + turn * kShare + at);
  }

  F32x8 total(int i) const {
    F32x8 result = (F32x8)_mm256_cvtepi32_ps(sum[i][0]);
    for (int part = 1; part < kParts; ++part) result = result * 256.0f + (F32x8)_mm256_cvtepi32_ps(sum[i][part]);
    return result;
  }
};

// Eight outputs for kRows rows of x.
template <class Q, int kRows>
void dot_eight(const typename Q::Block* w, const SplitBlock* const (&x)[kRows], int64_t blocks, F32x8 (&totals)[kRows]) {
  for (F32x8& total : totals) total = F32x8{};
  for (int64_t b = 0; b < blocks; ++b) {
    const SplitBlock* here[kRows];
    for (int i = 0; i < kRows; ++i) here[i] = x[i] + b;
    const BlockSums<Q, kRows> sums(w[b], here);
    const F32x8 scale = load_eight(w[b].scale);
    for (int i = 0; i < kRows; ++i) totals[i] += sums.total(i) * (scale * here[i]->scale) - Q::offset(w[b], *here[i]);
  }
}

template <class Q, int kRows>
void dot_outputs(const QuantizedLinearParams& p, const SplitBlock* split, int64_t row, int64_t n, int64_t outputs) {
  static_assert(kOutputBlock % kInterleavedRows == 0);
  const int64_t blocks = p.in / kInterleavedElements;
  const SplitBlock* x[kRows];
  for (int i = 0; i < kRows; ++i) x[i] = split + (row + i) * blocks;
  float sums[kRows * kOutputBlock];
  for (int64_t j = 0; j < outputs; j += kInterleavedRows) {
    F32x8 totals[kRows];
    dot_eight<Q, kRows>(static_cast<const typename Q::Block*>(p.interleaved) + (n + j) / kInterleavedRows * blocks, x, blocks, totals);
    for (int i = 0; i < kRows; ++i) store_eight(sums + i * kOutputBlock + j, totals[i]);
  }
  finish(p.out, sums, kOutputBlock, row, kRows, n, outputs);
}

template <class Q> void dot_blocks(const QuantizedLinearParams& p, const SplitBlock* split, int64_t block_begin, int64_t block_end) {
  for (int64_t block = block_begin; block < block_end; ++block) {
    const int64_t n = block * kOutputBlock, outputs = p.out.out - n < kOutputBlock ? p.out.out - n : kOutputBlock;
    int64_t row = 0;
    for (; row + 2 <= p.out.rows; row += 2) dot_outputs<Q, 2>(p, split, row, n, outputs);
    if (row < p.out.rows) dot_outputs<Q, 1>(p, split, row, n, outputs);
  }
}

// ---- Rows of x -----------------------------------------------------------------------------------------------------------------------

inline float sum_of(F32x8 v) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_shuffle_ps(sum, sum, 1)));
}

void split_block(const float* x, SplitBlock& to) {
  constexpr int kLargest = 127 << 16;
  to.scale = split<kLargest>(x, to.parts);
  for (int i = 0; i < 16; ++i) to.sums_of_16[i] = sum_of(load_eight(x + 16 * i) + load_eight(x + 16 * i + kInterleavedRows));
  for (int g = 0; g < 8; ++g) to.sums_of_32[g] = to.sums_of_16[2 * g] + to.sums_of_16[2 * g + 1];
}

// ---- Many rows -----------------------------------------------------------------------------------------------------------------------

template <class Q> void unpack_block(const typename Q::Block& b, float* panel, int64_t pitch) {
  for (int turn = 0; turn < Q::kTurns; ++turn) {
    for_runs<Q>([&]<int kRun>() {
      const int first = Q::template first<kRun>(turn);
      const F32x8 scale = Q::scales(b, first / Q::kGroup), offset = Q::offsets(b, first / Q::kGroup);
      for (int v = 0; v < Q::kVectors; ++v) {
        const __m256i codes = (__m256i)Q::template codes<kRun>(b, turn, v);
        for (int i = 0; i < 4; ++i) {
          const __m256i code = _mm256_and_si256(_mm256_srli_epi32(codes, 8 * i), _mm256_set1_epi32(255));
          store_eight(panel + (first + 4 * v + i) * pitch, (F32x8)_mm256_cvtepi32_ps(code) * scale - offset);
        }
      }
    });
  }
}

}  // namespace

void split_rows(const QuantizedLinearParams& p, SplitBlock* split, int64_t row_begin, int64_t row_end) {
  const int64_t blocks = p.in / kInterleavedElements;
  for (int64_t row = row_begin; row < row_end; ++row) {
    for (int64_t b = 0; b < blocks; ++b) split_block(p.x + row * p.x_pitch + b * kInterleavedElements, split[row * blocks + b]);
  }
}

void interleaved_dot(const QuantizedLinearParams& p, const SplitBlock* split, int64_t block_begin, int64_t block_end) {
  with_layout(p, [&](auto layout) { dot_blocks<decltype(layout)>(p, split, block_begin, block_end); });
}

void unpack_interleaved(const QuantizedLinearParams& p, int64_t column, int64_t columns, int64_t k, float* panel) {
  constexpr int64_t kPitch = 2 * kLanes;
  with_layout(p, [&](auto layout) {
    using Layout = decltype(layout);
    const auto* w = static_cast<const typename Layout::Block*>(p.interleaved) + k / kInterleavedElements;
    for (int64_t n = 0; n < kPitch; n += kInterleavedRows) {
      if (n < columns) {
        unpack_block<Layout>(w[(column + n) / kInterleavedRows * (p.in / kInterleavedElements)], panel + n, kPitch);
      } else {
        for (int64_t i = 0; i < kInterleavedElements; ++i) store_eight(panel + i * kPitch + n, F32x8{});
      }
    }
  });
}

}  // namespace linea::cpu::LINEA_ISA

#endif
