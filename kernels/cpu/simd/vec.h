// kernels/cpu/simd/vec.h: vectors of floats as wide as the instruction set that this file is compiled for, and their loads and stores.
//
// GCC's vector extensions give one text for SSE, AVX2, AVX-512 and NEON; intrinsics appear only for half precision, which the extensions
// cannot convert. Everything is in an unnamed namespace on purpose: see kernels.h.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cpu/simd/kernels.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

#ifndef LINEA_ISA
#error "compile this with -DLINEA_ISA=<namespace>"
#endif

namespace linea::cpu::LINEA_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
constexpr int kLanes = kBytes / 4;

using F32s = float __attribute__((vector_size(kBytes)));
using U32s = uint32_t __attribute__((vector_size(kBytes)));
using I32s = int32_t __attribute__((vector_size(kBytes)));
using U16s = uint16_t __attribute__((vector_size(kBytes / 2)));

struct BF16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

// Which lanes of a vector exist: all, or the first `count` at the end of a row.
struct All {
  static constexpr int count = kLanes;
};
struct First {
  int count;
};

template <class To, class From> inline To bits(From value) {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, value);
}

inline F32s splat(float value) { return F32s{} + value; }  // -0 becomes +0
// The second operand where one is NaN. GCC makes a comparison and a selection of the expression, hence the intrinsics; those without a mask
// set off its -Wuninitialized.
#if defined(__AVX512F__)
inline F32s max(F32s a, F32s b) { return (F32s)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b); }
inline F32s min(F32s a, F32s b) { return (F32s)_mm512_maskz_min_ps(0xffff, (__m512)a, (__m512)b); }
#elif defined(__AVX2__)
inline F32s max(F32s a, F32s b) { return (F32s)_mm256_max_ps((__m256)a, (__m256)b); }
inline F32s min(F32s a, F32s b) { return (F32s)_mm256_min_ps((__m256)a, (__m256)b); }
#else
inline F32s max(F32s a, F32s b) { return a > b ? a : b; }
inline F32s min(F32s a, F32s b) { return a < b ? a : b; }
#endif
constexpr int64_t round_up(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// ---- Sixteen-bit conversions, to nearest even --------------------------------------------------------------------------------------

// GCC 12 widens sixteen of them in two halves, hence the intrinsic.
inline F32s widen_bf16(U16s h) {
#if defined(__AVX512F__)
  return bits<F32s>((U32s)_mm512_cvtepu16_epi32((__m256i)h) << 16);
#else
  return bits<F32s>(__builtin_convertvector(h, U32s) << 16);
#endif
}

inline U16s narrow_bf16(F32s v) {
  const U32s u = bits<U32s>(v);
  const U32s rounded = u + 0x7fffu + ((u >> 16) & 1u);
  const I32s nan = (bits<I32s>(u) & 0x7fffffff) > 0x7f800000;
  return __builtin_convertvector((nan ? (u | 0x400000u) : rounded) >> 16, U16s);
}

#if defined(__AVX512F__)
inline F32s widen_f16(U16s h) { return (F32s)_mm512_cvtph_ps((__m256i)h); }
inline U16s narrow_f16(F32s v) { return (U16s)_mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
#elif defined(__F16C__)
inline F32s widen_f16(U16s h) { return (F32s)_mm256_cvtph_ps((__m128i)h); }
inline U16s narrow_f16(F32s v) { return (U16s)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
#else
// The exponents are rebased by a multiplication, which also handles subnormals: 2^112 = 2^(127-15).
inline F32s widen_f16(U16s h) {
  const U32s u = __builtin_convertvector(h, U32s);
  const U32s sign = (u & 0x8000u) << 16, magnitude = (u & 0x7fffu) << 13;
  const U32s finite = bits<U32s>(bits<F32s>(magnitude) * 0x1p112f);
  const U32s special = magnitude | 0x7f800000u;
  const I32s is_special = bits<I32s>(magnitude) >= 0x0f800000;
  return bits<F32s>(sign | (is_special ? special : finite));
}

inline U16s narrow_f16(F32s v) {
  const U32s u = bits<U32s>(v), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
  const I32s m = bits<I32s>(magnitude);
  const U32s normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  // Adding 2^-1 · 2^... aligns the mantissa so that the adder itself rounds subnormals to units of 2^-24.
  const U32s subnormal = bits<U32s>(bits<F32s>(magnitude) + 0.5f) - 0x3f000000u;
  const U32s infinite = (magnitude & 0u) | 0x7c00u;
  const U32s nan = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  U32s result = m < 0x38800000 ? subnormal : normal;
  result = m >= 0x477ff000 ? infinite : result;
  result = m > 0x7f800000 ? nan : result;
  return __builtin_convertvector(sign | result, U16s);
}
#endif

// ---- Loads and stores --------------------------------------------------------------------------------------------------------------

inline F32s load(const float* p, All = {}) {
  F32s v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
inline U16s load_u16(const void* p) {
  U16s h;
  __builtin_memcpy(&h, p, sizeof(h));
  return h;
}
inline F32s load(const BF16* p, All = {}) { return widen_bf16(load_u16(p)); }
inline F32s load(const F16* p, All = {}) { return widen_f16(load_u16(p)); }

inline void store(float* p, F32s v, All = {}) { __builtin_memcpy(p, &v, sizeof(v)); }
inline void store(BF16* p, F32s v, All = {}) {
  const U16s h = narrow_bf16(v);
  __builtin_memcpy(p, &h, sizeof(h));
}
inline void store(F16* p, F32s v, All = {}) {
  const U16s h = narrow_f16(v);
  __builtin_memcpy(p, &h, sizeof(h));
}

// Missing lanes read as zero and are not written.
template <class T> inline F32s load(const T* p, First first) {
  T lanes[kLanes] = {};
  for (int i = 0; i < first.count; ++i) lanes[i] = p[i];
  return load(lanes);
}
template <class T> inline void store(T* p, F32s v, First first) {
  T lanes[kLanes];
  store(lanes, v);
  for (int i = 0; i < first.count; ++i) p[i] = lanes[i];
}

inline F32s keep(F32s v, All) { return v; }
inline F32s keep(F32s v, First first) {
  for (int i = first.count; i < kLanes; ++i) v[i] = 0;
  return v;
}

// Lane i of the result is lane lanes[i] of a, or of the two vectors [a, b]. Clang, which has no such builtin, takes them one by one.
template <class V, class Lanes> inline V shuffle(V a, Lanes lanes) {
#if defined(__clang__)
  constexpr int kCount = sizeof(V) / sizeof(a[0]);
  V result;
  for (int i = 0; i < kCount; ++i) result[i] = a[lanes[i] & (kCount - 1)];
  return result;
#else
  return __builtin_shuffle(a, lanes);
#endif
}
template <class V, class Lanes> inline V shuffle(V a, V b, Lanes lanes) {
#if defined(__clang__)
  constexpr int kCount = sizeof(V) / sizeof(a[0]);
  V result;
  for (int i = 0; i < kCount; ++i) result[i] = lanes[i] & kCount ? b[lanes[i] & (kCount - 1)] : a[lanes[i] & (kCount - 1)];
  return result;
#else
  return __builtin_shuffle(a, b, lanes);
#endif
}

// Every second lane of the 2·kLanes values [a, b], and the values of two vectors in turn.
inline F32s every_second(F32s a, F32s b, int first) {
  I32s even, odd;
  for (int i = 0; i < kLanes; ++i) even[i] = 2 * i, odd[i] = 2 * i + 1;
  return first == 0 ? shuffle(a, b, even) : shuffle(a, b, odd);
}
inline F32s in_turn(F32s a, F32s b, int half) {
  I32s low, high;
  for (int i = 0; i < kLanes; ++i) low[i] = i / 2 + i % 2 * kLanes, high[i] = low[i] + kLanes / 2;
  return half == 0 ? shuffle(a, b, low) : shuffle(a, b, high);
}

// Asks for a row that will be read soon: rows with a wide pitch are too far apart for the processor's own prefetching.
template <class T> inline void prefetch(const T* row, int64_t count) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(row + i);
}

// ---- Loops -------------------------------------------------------------------------------------------------------------------------

// visit(offset, All or First) for the vectors of a row of n elements.
template <class Visit> inline void for_vectors(int64_t n, Visit visit) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) visit(i, All{});
  if (i < n) visit(i, First{static_cast<int>(n - i)});
}

inline float horizontal_sum(F32s v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}
inline float horizontal_max(F32s v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  }
  return lanes[0];
}

// Σ value(offset, lanes) over the vectors of a row, in four chains (latency) of a fixed order.
template <class Value> inline float sum_vectors(int64_t n, Value value) {
  F32s chain[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int j = 0; j < 4; ++j) chain[j] += value(i + j * kLanes, All{});
  }
  for (; i + kLanes <= n; i += kLanes) chain[0] += value(i, All{});
  if (i < n) {
    const First rest{static_cast<int>(n - i)};
    chain[1] += keep(value(i, rest), rest);
  }
  return horizontal_sum((chain[0] + chain[1]) + (chain[2] + chain[3]));
}

// ---- Types -------------------------------------------------------------------------------------------------------------------------

template <class Body> inline void with_type(Element type, Body body) {
  switch (type) {
    case Element::kF32: return body(static_cast<float*>(nullptr));
    case Element::kBF16: return body(static_cast<BF16*>(nullptr));
    case Element::kF16: return body(static_cast<F16*>(nullptr));
  }
}
// The types of x and w of a product: body(null x, null w).
template <class Body> inline void with_types(const GemmParams& p, Body body) {
  if (p.type == p.w_type) return with_type(p.type, [&](auto type) { body(type, type); });
  with_type(p.w_type, [&](auto w) { body(static_cast<float*>(nullptr), w); });
}
// p + elements, for a p whose type is known only as the program runs.
template <class P> P* advanced(P* p, int64_t elements, Element type) {
  using Byte = std::conditional_t<std::is_const_v<P>, const char, char>;
  return static_cast<Byte*>(p) + elements * (type == Element::kF32 ? 4 : 2);
}
// The element type of the null pointer that with_type passes.
template <class P> struct Pointee;
template <class T> struct Pointee<T*> { using type = T; };
template <class P> using TypeOf = typename Pointee<P>::type;

}  // namespace
}  // namespace linea::cpu::LINEA_ISA
