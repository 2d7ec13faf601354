// kernels/cpu/simd/quantized_blocks.h: the block-quantised types as small integers with scales, 32 elements at a time.
//
// A value is scale · code - offset; scale and offset belong to a group of 16 or 32 elements. Layouts: core/quantized.cpp, which also
// decodes them to floats. Each type gives
//   kElements, kBytes    of a block         kGroup    elements that share a scale        kOffset    whether offsets are other than 0
//   groups(b, scales, offsets)              of the block at b, as vectors of kGroups floats
//   codes<kPart>(b)                         elements [32·kPart, 32·kPart + 32), counted from kZero: where that is not 0, the caller
//   subtracts
//                                           it, from each or from the sum
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

using F32x8 = float __attribute__((vector_size(32)));
using F32x16 = float __attribute__((vector_size(64)));

// A vector of a block's scales or offsets; blocks of 32 have one.
template <int kCount> struct GroupFloats;
template <> struct GroupFloats<1> { using Type = float; };
template <> struct GroupFloats<8> { using Type = F32x8; };
template <> struct GroupFloats<16> { using Type = F32x16; };

// GCC 12 converts bytes to floats, and 32 bytes to 16 bits, element by element: hence the intrinsics.
inline F32x16 widened(U8x16 codes) {
#if defined(__AVX512F__)
  return (F32x16)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32((__m128i)codes));
#else
  using I32x16 = int32_t __attribute__((vector_size(64)));
  return __builtin_convertvector(__builtin_convertvector(codes, I32x16), F32x16);
#endif
}

using I16s = int16_t __attribute__((vector_size(kBytes)));

// Chunk kChunk of 32 signed codes, as wide as a vector once widened.
template <int kChunk> inline I16s widened(I8x32 codes) {
#if defined(__AVX512BW__)
  return (I16s)_mm512_cvtepi8_epi16((__m256i)codes);
#else
  using Bytes = int8_t __attribute__((vector_size(kBytes / 2)));
  Bytes chunk;
  __builtin_memcpy(&chunk, reinterpret_cast<const char*>(&codes) + kChunk * static_cast<int>(sizeof(chunk)), sizeof(chunk));
#if defined(__AVX2__)
  return (I16s)_mm256_cvtepi8_epi16((__m128i)chunk);
#else
  return __builtin_convertvector(chunk, I16s);
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
  const U8x32 bytes = __builtin_shuffle(bits<U8x32>(U32x8{} + word), spread);
  return (U8x32)((bytes & bit) != 0) & 16;
}

inline I8x32 signed_codes(U8x32 codes, int zero) { return (I8x32)(codes - static_cast<uint8_t>(zero)); }

struct Q8_0 {
  static constexpr int kElements = 32, kBytes = 34, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = false;
  static void groups(const uint8_t* b, float& scales, float&) { scales = half_at(b); }
  template <int kPart> static I8x32 codes(const uint8_t* b) { return (I8x32)bytes32(b + 2); }
};

struct Q4_0 {
  static constexpr int kElements = 32, kBytes = 18, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = false;
  static void groups(const uint8_t* b, float& scales, float&) { scales = half_at(b); }
  template <int kPart> static I8x32 codes(const uint8_t* b) { return signed_codes(nibbles(b + 2), 8); }
};

struct IQ4_NL {
  static constexpr int kElements = 32, kBytes = 18, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = false;
  static void groups(const uint8_t* b, float& scales, float&) { scales = half_at(b); }
  template <int kPart> static I8x32 codes(const uint8_t* b) {
    using I8x16 = int8_t __attribute__((vector_size(16)));
    const U8x16 levels = (U8x16)I8x16{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    const U8x16 v = bytes16(b + 2);
    return (I8x32)join(__builtin_shuffle(levels, v & 15), __builtin_shuffle(levels, v >> 4));
  }
};

struct Q4_1 {
  static constexpr int kElements = 32, kBytes = 20, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = true;
  static void groups(const uint8_t* b, float& scales, float& offsets) {
    scales = half_at(b);
    offsets = -half_at(b + 2);
  }
  template <int kPart> static I8x32 codes(const uint8_t* b) { return (I8x32)nibbles(b + 4); }
};

struct Q5_0 {
  static constexpr int kElements = 32, kBytes = 22, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = false;
  static void groups(const uint8_t* b, float& scales, float&) { scales = half_at(b); }
  template <int kPart> static I8x32 codes(const uint8_t* b) { return signed_codes(nibbles(b + 6) | fifth_bits(b + 2), 16); }
};

struct Q5_1 {
  static constexpr int kElements = 32, kBytes = 24, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = true;
  static void groups(const uint8_t* b, float& scales, float& offsets) {
    scales = half_at(b);
    offsets = -half_at(b + 2);
  }
  template <int kPart> static I8x32 codes(const uint8_t* b) { return (I8x32)(nibbles(b + 8) | fifth_bits(b + 4)); }
};

struct Q2_K {
  static constexpr int kElements = 256, kBytes = 84, kGroup = 16, kZero = 0;
  static constexpr bool kOffset = true;
  static void groups(const uint8_t* b, F32x16& scales, F32x16& offsets) {
    const U8x16 v = bytes16(b);
    scales = widened(v & 15) * half_at(b + 80);
    offsets = widened(v >> 4) * half_at(b + 82);
  }
  template <int kPart> static I8x32 codes(const uint8_t* b) {
    return (I8x32)(shifted<-2 * (kPart % 4)>(bytes32(b + 16 + 32 * (kPart / 4))) & 3);
  }
};

struct Q3_K {
  static constexpr int kElements = 256, kBytes = 110, kGroup = 16, kZero = 4;
  static constexpr bool kOffset = false;
  static void groups(const uint8_t* b, F32x16& scales, F32x16&) {
    uint32_t w[3];
    __builtin_memcpy(w, b + 96, sizeof(w));
    const uint32_t low = 0x0f0f0f0fu, high = 0x30303030u;
    const uint32_t unpacked[4] = {(w[0] & low) | (w[2] << 4 & high), (w[1] & low) | (w[2] << 2 & high), (w[0] >> 4 & low) | (w[2] & high),
                                  (w[1] >> 4 & low) | (w[2] >> 2 & high)};
    scales = (widened(bytes16(reinterpret_cast<const uint8_t*>(unpacked))) - 32.0f) * half_at(b + 108);
  }
  template <int kPart> static I8x32 codes(const uint8_t* b) {
    const U8x32 low = shifted<-2 * (kPart % 4)>(bytes32(b + 32 + 32 * (kPart / 4))) & 3;
    return (I8x32)(low | (shifted<2 - kPart>(bytes32(b)) & 4));
  }
};

// The eight six-bit scales and offsets of Q4_K and Q5_K.
inline void affine_groups(const uint8_t* b, F32x8& scales, F32x8& offsets) {
  uint32_t w[3];
  __builtin_memcpy(w, b + 4, sizeof(w));
  const uint32_t six = 0x3f3f3f3fu, low = 0x0f0f0f0fu, high = 0x30303030u;
  const uint32_t unpacked[4] = {w[0] & six, (w[2] & low) | (w[0] >> 2 & high), w[1] & six, (w[2] >> 4 & low) | (w[1] >> 2 & high)};
  const F32x16 all = widened(bytes16(reinterpret_cast<const uint8_t*>(unpacked)));
  scales = __builtin_shufflevector(all, all, 0, 1, 2, 3, 4, 5, 6, 7) * half_at(b);
  offsets = __builtin_shufflevector(all, all, 8, 9, 10, 11, 12, 13, 14, 15) * half_at(b + 2);
}

struct Q4_K {
  static constexpr int kElements = 256, kBytes = 144, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = true;
  static void groups(const uint8_t* b, F32x8& scales, F32x8& offsets) { affine_groups(b, scales, offsets); }
  template <int kPart> static I8x32 codes(const uint8_t* b) {
    return (I8x32)(shifted<-4 * (kPart % 2)>(bytes32(b + 16 + 32 * (kPart / 2))) & 15);
  }
};

struct Q5_K {
  static constexpr int kElements = 256, kBytes = 176, kGroup = 32, kZero = 0;
  static constexpr bool kOffset = true;
  static void groups(const uint8_t* b, F32x8& scales, F32x8& offsets) { affine_groups(b, scales, offsets); }
  template <int kPart> static I8x32 codes(const uint8_t* b) {
    const U8x32 low = shifted<-4 * (kPart % 2)>(bytes32(b + 48 + 32 * (kPart / 2))) & 15;
    return (I8x32)(low | (shifted<4 - kPart>(bytes32(b + 16)) & 16));
  }
};

struct Q6_K {
  static constexpr int kElements = 256, kBytes = 210, kGroup = 16, kZero = 32;
  static constexpr bool kOffset = false;
  static void groups(const uint8_t* b, F32x16& scales, F32x16&) {
    scales = (widened(bytes16(b + 192) ^ 128) - 128.0f) * half_at(b + 208);  // from signed to unsigned and back
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
