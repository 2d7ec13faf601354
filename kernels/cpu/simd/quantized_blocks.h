// kernels/cpu/simd/quantized_blocks.h: the block-quantised types as small integers with scales, 32 elements at a time.
//
// A value is scale · code - offset; scale and offset belong to a group of 16 or 32 elements. Layouts: core/quantized.cpp, which also
// decodes them to floats. Each type gives
//   kElements, kBytes    of a block         kGroup    elements that share a scale        kOffset    whether offsets are other than 0
//   groups(b, to)        the block's scales, and after them, where there are any, its offsets
//   kNibbles             whether codes are four bits of a byte; then, with AVX-512, lanes<kPart, kChunk>(b) gives 16 of them in the
//                        low bits of lanes, and levels() what each of the 16 stands for
//   integers<kPart, kChunk>(b)   with AVX2, where codes stand in memory so that it is quicker: eight of them
//   codes<kPart>(b)      elements [32·kPart, 32·kPart + 32), counted from kZero: where that is not 0, the caller subtracts it, from
//                        each or from the sum
#pragma once

#include "kernels/cpu/simd/vec.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace linea::cpu::LINEA_ISA {
namespace {

using I8x32 = int8_t __attribute__((vector_size(32)));
using U8x32 = uint8_t __attribute__((vector_size(32)));
using U8x16 = uint8_t __attribute__((vector_size(16)));

inline float half_at(const uint8_t* p) {
  uint16_t h;
  __builtin_memcpy(&h, p, sizeof(h));
#if defined(__F16C__)
  return _cvtsh_ss(h);
#else
  const uint32_t sign = (h & 0x8000u) << 16, magnitude = (h & 0x7fffu) << 13;
  if (magnitude >= 0x0f800000u) return bits<float>(sign | magnitude | 0x7f800000u);
  return bits<float>(sign | bits<uint32_t>(bits<float>(magnitude) * 0x1p112f));
#endif
}

using F32x16 = float __attribute__((vector_size(64)));

inline void put(float* to, const F32x16& v) { __builtin_memcpy(to, &v, sizeof(v)); }

// GCC 12 converts bytes to floats, and 32 bytes to 16 bits, element by element: hence the intrinsics.
inline F32x16 widened(U8x16 codes) {
#if defined(__AVX512F__)
  return (F32x16)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32((__m128i)codes));
#elif defined(__AVX2__)
  const __m128i v = (__m128i)codes;
  const __m256 halves[2] = {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v)),
                            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_unpackhi_epi64(v, v)))};
  F32x16 result;
  __builtin_memcpy(&result, halves, sizeof(result));
  return result;
#else
  using I32x16 = int32_t __attribute__((vector_size(64)));
  return __builtin_convertvector(__builtin_convertvector(codes, I32x16), F32x16);
#endif
}

// Chunk kChunk of 32 signed codes, a vector of them.
template <int kChunk> inline F32s float_codes(I8x32 codes) {
#if defined(__AVX512F__)
  return (F32s)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256((__m256i)codes, kChunk)));
#elif defined(__AVX2__)
  const __m128i half = _mm256_extracti128_si256((__m256i)codes, kChunk / 2);
  return (F32s)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(kChunk % 2 == 0 ? half : _mm_unpackhi_epi64(half, half)));
#else
  using Bytes = int8_t __attribute__((vector_size(kLanes)));
  Bytes chunk;
  __builtin_memcpy(&chunk, reinterpret_cast<const char*>(&codes) + kChunk * static_cast<int>(sizeof(chunk)), sizeof(chunk));
#if defined(__SSE4_1__)
  return (F32s)_mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128((int)chunk)));
#else
  return __builtin_convertvector(chunk, F32s);
#endif
#endif
}

inline U8x16 bytes16(const uint8_t* p) {
  U8x16 v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
inline U8x32 bytes32(const uint8_t* p) {
  U8x32 v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}

// Bytes shifted left (or, by less than 0, right); bits that come from a neighbour are left for the caller to mask.
template <int kLeft> inline U8x32 shifted(U8x32 v) {
  using U16x16 = uint16_t __attribute__((vector_size(32)));
  return kLeft >= 0 ? (U8x32)((U16x16)v << (kLeft & 15)) : (U8x32)((U16x16)v >> (-kLeft & 15));
}

inline U8x32 join(U8x16 a, U8x16 b) {
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27,
                                 28, 29, 30, 31);
}

// Blocks of 32: element i stands in the low half of byte i, element i + 16 in the high half.
inline U8x32 nibbles(const uint8_t* p) {
  const U8x16 v = bytes16(p);
  return join(v & 15, v >> 4);
}

// 16 in the lanes whose bit is set.
inline U8x32 fifth_bits(const uint8_t* p) {
  uint32_t word;
  __builtin_memcpy(&word, p, sizeof(word));
  using U32x8 = uint32_t __attribute__((vector_size(32)));
  const U8x32 spread = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 18, 18, 18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19, 19, 19};
  const U8x32 bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const U8x32 bytes = shuffle(bits<U8x32>(U32x8{} + word), spread);
  return (U8x32)((bytes & bit) != 0) & 16;
}

#if defined(__AVX512F__)
// Four-bit codes look their values up: a permutation takes its lanes' numbers from the low four bits of each lane, whatever stands above.
using I32x16 = int32_t __attribute__((vector_size(64)));
template <bool kHigh> inline I32x16 nibble_lanes(const uint8_t* p) {
  const I32x16 v = (I32x16)_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return kHigh ? v >> 4 : v;
}
inline F32x16 nibble_levels() { return F32x16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; }
#endif

#if defined(__AVX2__) && !defined(__AVX512F__)
// Eight bytes from memory as integers: bytes of a vector in a register take a shuffle more for every eight.
using I32x8 = int32_t __attribute__((vector_size(32)));
inline __m128i eight_bytes(const uint8_t* p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); }
template <bool kHigh> inline I32x8 nibble_integers(const uint8_t* p) {
  const I32x8 v = (I32x8)_mm256_cvtepu8_epi32(eight_bytes(p));
  return kHigh ? v >> 4 : v & 15;
}
#endif

inline I8x32 signed_codes(U8x32 codes, int zero) { return (I8x32)(codes - static_cast<uint8_t>(zero)); }

struct Q8_0 {
  static constexpr int kElements = 32, kBytes = 34, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = false, kNibbles = false;
  static void groups(const uint8_t* b, float* to) { to[0] = half_at(b); }
  template <int kPart> static I8x32 codes(const uint8_t* b) { return (I8x32)bytes32(b + 2); }
#if defined(__AVX2__) && !defined(__AVX512F__)
  template <int kPart, int kChunk> static I32x8 integers(const uint8_t* b) {
    return (I32x8)_mm256_cvtepi8_epi32(eight_bytes(b + 2 + 8 * kChunk));
  }
#endif
};

struct Q4_0 {
  static constexpr int kElements = 32, kBytes = 18, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = false, kNibbles = true;
  static void groups(const uint8_t* b, float* to) { to[0] = half_at(b); }
  template <int kPart> static I8x32 codes(const uint8_t* b) { return signed_codes(nibbles(b + 2), 8); }
#if defined(__AVX512F__)
  static F32x16 levels() { return nibble_levels() - 8.0f; }
  template <int kPart, int kChunk> static I32x16 lanes(const uint8_t* b) { return nibble_lanes<kChunk == 1>(b + 2); }
#elif defined(__AVX2__)
  template <int kPart, int kChunk> static I32x8 integers(const uint8_t* b) {
    return nibble_integers<(kChunk >= 2)>(b + 2 + kChunk % 2 * 8) - 8;
  }
#endif
};

struct IQ4_NL {
  static constexpr int kElements = 32, kBytes = 18, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = false, kNibbles = true;
  static void groups(const uint8_t* b, float* to) { to[0] = half_at(b); }
  template <int kPart> static I8x32 codes(const uint8_t* b) {
    using I8x16 = int8_t __attribute__((vector_size(16)));
    const U8x16 values = (U8x16)I8x16{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    const U8x16 v = bytes16(b + 2);
    return (I8x32)join(shuffle(values, v & 15), shuffle(values, v >> 4));
  }
#if defined(__AVX512F__)
  static F32x16 levels() { return F32x16{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}; }
  template <int kPart, int kChunk> static I32x16 lanes(const uint8_t* b) { return nibble_lanes<kChunk == 1>(b + 2); }
#endif
};

struct Q4_1 {
  static constexpr int kElements = 32, kBytes = 20, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = true, kNibbles = true;
  static void groups(const uint8_t* b, float* to) {
    to[0] = half_at(b);
    to[1] = -half_at(b + 2);
  }
  template <int kPart> static I8x32 codes(const uint8_t* b) { return (I8x32)nibbles(b + 4); }
#if defined(__AVX512F__)
  static F32x16 levels() { return nibble_levels(); }
  template <int kPart, int kChunk> static I32x16 lanes(const uint8_t* b) { return nibble_lanes<kChunk == 1>(b + 4); }
#elif defined(__AVX2__)
  template <int kPart, int kChunk> static I32x8 integers(const uint8_t* b) {
    return nibble_integers<(kChunk >= 2)>(b + 4 + kChunk % 2 * 8);
  }
#endif
};

struct Q5_0 {
  static constexpr int kElements = 32, kBytes = 22, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = false, kNibbles = false;
  static void groups(const uint8_t* b, float* to) { to[0] = half_at(b); }
  template <int kPart> static I8x32 codes(const uint8_t* b) { return signed_codes(nibbles(b + 6) | fifth_bits(b + 2), 16); }
};

struct Q5_1 {
  static constexpr int kElements = 32, kBytes = 24, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = true, kNibbles = false;
  static void groups(const uint8_t* b, float* to) {
    to[0] = half_at(b);
    to[1] = -half_at(b + 2);
  }
  template <int kPart> static I8x32 codes(const uint8_t* b) { return (I8x32)(nibbles(b + 8) | fifth_bits(b + 4)); }
};

struct Q2_K {
  static constexpr int kElements = 256, kBytes = 84, kGroup = 16, kZero = 0;
  static constexpr bool kOffset = true, kNibbles = false;
  static void groups(const uint8_t* b, float* to) {
    const U8x16 v = bytes16(b);
    put(to, widened(v & 15) * half_at(b + 80));
    put(to + 16, widened(v >> 4) * half_at(b + 82));
  }
  template <int kPart> static I8x32 codes(const uint8_t* b) {
    return (I8x32)(shifted<-2 * (kPart % 4)>(bytes32(b + 16 + 32 * (kPart / 4))) & 3);
  }
};

struct Q3_K {
  static constexpr int kElements = 256, kBytes = 110, kGroup = 16, kZero = 4;
  static constexpr bool kOffset = false, kNibbles = false;
  static void groups(const uint8_t* b, float* to) {
    uint32_t w[3];
    __builtin_memcpy(w, b + 96, sizeof(w));
    const uint32_t low = 0x0f0f0f0fu, high = 0x30303030u;
    const uint32_t unpacked[4] = {(w[0] & low) | (w[2] << 4 & high), (w[1] & low) | (w[2] << 2 & high), (w[0] >> 4 & low) | (w[2] & high),
                                  (w[1] >> 4 & low) | (w[2] >> 2 & high)};
    put(to, (widened(bytes16(reinterpret_cast<const uint8_t*>(unpacked))) - 32.0f) * half_at(b + 108));
  }
  template <int kPart> static I8x32 codes(const uint8_t* b) {
    const U8x32 low = shifted<-2 * (kPart % 4)>(bytes32(b + 32 + 32 * (kPart / 4))) & 3;
    return (I8x32)(low | (shifted<2 - kPart>(bytes32(b)) & 4));
  }
};

// The eight six-bit scales and offsets of Q4_K and Q5_K: eight stand in the low six bits of bytes 0 to 7; of the others the low four bits
// in the halves of bytes 8 to 11, and the high two above the first eight.
inline void affine_groups(const uint8_t* b, float* to) {
  using U32x4 = uint32_t __attribute__((vector_size(16)));
  U32x4 w;
  __builtin_memcpy(&w, b + 4, sizeof(w));  // reads on into the block's codes
  const U32x4 high = (w >> 2) & 0x30303030u, low = w & 0x0f0f0f0fu, next = (w >> 4) & 0x0f0f0f0fu;
  const U32x4 others = high | __builtin_shufflevector(low, next, 2, 6, 2, 6);
  const F32x16 all = widened((U8x16)__builtin_shufflevector(w & 0x3f3f3f3fu, others, 0, 4, 1, 5));
  const float scale = half_at(b), offset = half_at(b + 2);
  put(to,
      all * F32x16{scale, scale, scale, scale, scale, scale, scale, scale, offset, offset, offset, offset, offset, offset, offset, offset});
}

struct Q4_K {
  static constexpr int kElements = 256, kBytes = 144, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = true, kNibbles = true;
  static void groups(const uint8_t* b, float* to) { affine_groups(b, to); }
  template <int kPart> static I8x32 codes(const uint8_t* b) {
    return (I8x32)(shifted<-4 * (kPart % 2)>(bytes32(b + 16 + 32 * (kPart / 2))) & 15);
  }
#if defined(__AVX512F__)
  static F32x16 levels() { return nibble_levels(); }
  template <int kPart, int kChunk> static I32x16 lanes(const uint8_t* b) {
    return nibble_lanes<kPart % 2 == 1>(b + 16 + 32 * (kPart / 2) + 16 * kChunk);
  }
#endif
};

struct Q5_K {
  static constexpr int kElements = 256, kBytes = 176, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = true, kNibbles = false;
  static void groups(const uint8_t* b, float* to) { affine_groups(b, to); }
  template <int kPart> static I8x32 codes(const uint8_t* b) {
    const U8x32 low = shifted<-4 * (kPart % 2)>(bytes32(b + 48 + 32 * (kPart / 2))) & 15;
    return (I8x32)(low | (shifted<4 - kPart>(bytes32(b + 16)) & 16));
  }
};

struct Q6_K {
  static constexpr int kElements = 256, kBytes = 210, kGroup = 16, kZero = 32;
  static constexpr bool kOffset = false, kNibbles = false;
  static void groups(const uint8_t* b, float* to) {
    put(to, (widened(bytes16(b + 192) ^ 128) - 128.0f) * half_at(b + 208));  // from signed to unsigned and back
  }
  template <int kPart> static I8x32 codes(const uint8_t* b) {
    constexpr int kHalf = kPart / 4, kQuarter = kPart % 4;
    const U8x32 low = shifted<-4 * (kQuarter / 2)>(bytes32(b + 64 * kHalf + 32 * (kQuarter % 2))) & 15;
    return (I8x32)(low | (shifted<4 - 2 * kQuarter>(bytes32(b + 128 + 32 * kHalf)) & 0x30));
  }
};

template <class Body> inline void with_block(Block type, Body body) {
  switch (type) {
    case Block::kQ4_0: return body(Q4_0{});
    case Block::kQ4_1: return body(Q4_1{});
    case Block::kQ5_0: return body(Q5_0{});
    case Block::kQ5_1: return body(Q5_1{});
    case Block::kQ8_0: return body(Q8_0{});
    case Block::kIQ4_NL: return body(IQ4_NL{});
    case Block::kQ2_K: return body(Q2_K{});
    case Block::kQ3_K: return body(Q3_K{});
    case Block::kQ4_K: return body(Q4_K{});
    case Block::kQ5_K: return body(Q5_K{});
    case Block::kQ6_K: return body(Q6_K{});
  }
}

}  // namespace
}  // namespace linea::cpu::LINEA_ISA
