// kernels/cpu/simd/split.h: 256 elements of a row of x as integers of three parts of 8 bits, x = scale · (2^16 a + 2^8 b + c).
#pragma once

#include "kernels/cpu/simd/vec.h"

namespace linea::cpu::LINEA_ISA {
namespace {

constexpr int kParts = 3;

// To the nearest integer, and four vectors of integers of 8 bits as bytes. (Masks for the reason that vec.h gives.)
#if defined(__AVX512F__)
inline I32s rounded(F32s v) { return (I32s)_mm512_maskz_cvtps_epi32(0xffff, (__m512)v); }
inline void store_bytes(int8_t* to, const I32s (&v)[4]) {
  for (int i = 0; i < 4; ++i) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i * kLanes), _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)v[i]));
  }
}
#else
inline I32s rounded(F32s v) { return (I32s)_mm256_cvtps_epi32((__m256)v); }
inline void store_bytes(int8_t* to, const I32s (&v)[4]) {
  const __m256i low = _mm256_packs_epi32((__m256i)v[0], (__m256i)v[1]), high = _mm256_packs_epi32((__m256i)v[2], (__m256i)v[3]);
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
}
#endif

// The lowest 8 bits of v as a signed number, which v loses.
inline I32s take_part(I32s& v) {
  const I32s part = v << 24 >> 24;
  v = (v + 128) >> 8;
  return part;
}

// The largest magnitude; not finite where an element is not.
inline float largest_of(const float* x) {
  I32s largest = {};
  for (int i = 0; i < kInterleavedElements; i += kLanes) {
    const I32s magnitude = bits<I32s>(load(x + i)) & 0x7fffffff;
    largest = magnitude > largest ? magnitude : largest;
  }
  int32_t result = 0;
  for (int i = 0; i < kLanes; ++i) result = largest[i] > result ? largest[i] : result;
  return bits<float>(result);
}

// The parts of x, whose largest magnitude becomes the integer kLargest, and their scale: not a number where one of x is none.
template <int kLargest> float split(const float* x, int8_t (&to)[kParts][kInterleavedElements]) {
  constexpr float kWhole = kLargest, kInfinity = __builtin_inff();
  // What is less than this everywhere is taken for zero: its inverse would not be finite.
  constexpr float kLeast = 0x1p-104f;
  const float largest = largest_of(x), factor = largest >= kLeast && largest < kInfinity ? kWhole / largest : 0.0f;
  for (int at = 0; at < kInterleavedElements; at += 4 * kLanes) {
    I32s parts[kParts][4];
    for (int v = 0; v < 4; ++v) {
      I32s whole = rounded(load(x + at + v * kLanes) * factor);
      for (int part = kParts - 1; part > 0; --part) parts[part][v] = take_part(whole);
      parts[0][v] = whole;
    }
    for (int part = 0; part < kParts; ++part) store_bytes(to[part] + at, parts[part]);
  }
  if (largest < kInfinity) return factor > 0 ? largest / kWhole : 0.0f;
  return __builtin_nanf("");
}

}  // namespace
}  // namespace linea::cpu::LINEA_ISA
