// kernels/cpu/simd/interleaved_blocks.h: the codes, scales and offsets of matrices whose rows lie eight side by side (interleaved.h).
#pragma once

#include "kernels/cpu/simd/vec.h"

namespace linea::cpu::LINEA_ISA {
namespace {

// A lane is a row, with AVX-512 too: it gives the same instructions more registers.
using F32x8 = float __attribute__((vector_size(4 * kInterleavedRows)));
using U8s = uint8_t __attribute__((vector_size(32)));

inline F32x8 load_eight(const float* p) {
  F32x8 v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
inline F32x8 load_eight(const uint16_t* halves) {
  return (F32x8)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
}
inline void store_eight(float* p, F32x8 v) { __builtin_memcpy(p, &v, sizeof(v)); }

inline U8s bytes_at(const uint8_t* p) {
  U8s v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
// Bytes shifted right (to the left by less than 0); bits that come from a neighbour are left for the caller to mask.
template <int kRight> inline U8s shifted(U8s v) {
  return (U8s)(kRight >= 0 ? _mm256_srli_epi16((__m256i)v, kRight) : _mm256_slli_epi16((__m256i)v, -kRight));
}
// Eight bytes, a row each, as floats.
inline F32x8 floats_of(const uint8_t* p) {
  return (F32x8)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline F32x8 floats_of(const int8_t* p) {
  return (F32x8)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
// Eight bytes, each as two neighbours of 16 bits.
inline __m256i pairs_of(const uint8_t* p) {
  const __m256i v = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  return _mm256_or_si256(v, _mm256_slli_epi32(v, 16));
}
inline __m256i pairs_of(const int8_t* p) {
  const __m256i v = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  return _mm256_blend_epi16(v, _mm256_slli_epi32(v, 16), 0xaa);
}

// Q4K, Q5K and Q6K below: a block is walked in kTurns turns of kRuns runs of kVectors vectors, 4 · kVectors elements of one group (of
// kGroup) that begin at first<kRun>(turn). scales() and offsets() are those of a group for all eight rows.

// What Q4_K and Q5_K share.
template <class B> struct Affine {
  using Block = B;
  static constexpr int kGroup = 32;
  static F32x8 scales(const Block& b, int group) { return floats_of(b.scales[group]) * load_eight(b.scale); }
  static F32x8 offsets(const Block& b, int group) { return floats_of(b.offsets[group]) * load_eight(b.offset); }
  // Σ over groups of their offsets and sums of x.
  static F32x8 offset(const Block& b, const SplitBlock& x) {
    F32x8 sum = {};
    for (int g = 0; g < 8; ++g) sum += floats_of(b.offsets[g]) * x.sums_of_32[g];
    return sum * load_eight(b.offset);
  }
};

struct Q4K : Affine<InterleavedQ4K> {
  static constexpr int kTurns = 4, kRuns = 2, kVectors = 8;
  template <int kRun> static int first(int turn) { return 64 * turn + 32 * kRun; }
  template <int kRun> static U8s codes(const Block& b, int turn, int vector) {
    return shifted<4 * kRun>(bytes_at(b.codes[turn][vector])) & 15;
  }
};

struct Q5K : Affine<InterleavedQ5K> {
  static constexpr int kTurns = 8, kRuns = 2, kVectors = 4;
  template <int kRun> static int first(int turn) { return 64 * (turn / 2) + 32 * kRun + 16 * (turn % 2); }
  template <int kRun> static U8s codes(const Block& b, int turn, int vector) {
    const int pair = turn / 2, at = 4 * (turn % 2) + vector;
    const auto place = static_cast<uint8_t>(1 << (2 * pair + kRun));
    const U8s bit = U8s{} + place;
    return (shifted<4 * kRun>(bytes_at(b.codes[pair][at])) & 15) | ((U8s)((bytes_at(b.high[at]) & bit) != 0) & 16);
  }
};

struct Q6K {
  using Block = InterleavedQ6K;
  static constexpr int kTurns = 8, kRuns = 4, kVectors = 2, kGroup = 16;
  template <int kRun> static int first(int turn) { return 128 * (turn / 4) + 32 * kRun + 8 * (turn % 4); }
  template <int kRun> static U8s codes(const Block& b, int turn, int vector) {
    const int half = turn / 4, at = 2 * (turn % 4) + vector;
    const U8s low = shifted<4 * (kRun / 2)>(bytes_at(b.low[half][kRun % 2][at])) & 15;
    return low | (shifted<2 * kRun - 4>(bytes_at(b.high[half][at])) & 48);
  }
  static F32x8 scales(const Block& b, int group) { return floats_of(b.scales[group]) * load_eight(b.scale); }
  static F32x8 offsets(const Block& b, int group) { return 32.0f * scales(b, group); }
  static F32x8 offset(const Block& b, const SplitBlock& x) {
    F32x8 sum = {};
    for (int g = 0; g < 16; ++g) sum += floats_of(b.scales[g]) * x.sums_of_16[g];
    return 32.0f * sum * load_eight(b.scale);
  }
};

// visit.template operator()<kRun>() for all runs of a turn.
template <class Q, class Visit> __attribute__((always_inline)) inline void for_runs(Visit visit) {
  visit.template operator()<0>();
  visit.template operator()<1>();
  if constexpr (Q::kRuns == 4) {
    visit.template operator()<2>();
    visit.template operator()<3>();
  }
}

template <class Visit> void with_layout(const QuantizedLinearParams& p, Visit visit) {
  switch (p.block) {
    case Block::kQ4_K: return visit(Q4K{});
    case Block::kQ5_K: return visit(Q5K{});
    default: return visit(Q6K{});
  }
}

}  // namespace
}  // namespace linea::cpu::LINEA_ISA
