// kernels/cpu/simd/math.h: elementary functions of vectors.
//
// exp      Cody–Waite reduction x = n·ln2 + r, |r| <= ln2/2, then Cephes' degree-6 polynomial; at most 2 ULP, and 2^n in two factors so
//          that results reach into the subnormals and overflow to infinity.
// tanh     Cephes' odd polynomial below 0.625, 1 - 2/(exp(2|x|) + 1) above; at most 4 ULP.
// sigmoid  1/(1 + exp(-x)); at most 4 ULP. GELU (tanh form) is x·sigmoid(2u), which has no cancellation for negative x.
#pragma once

#include "kernels/cpu/simd/vec.h"

namespace linea::cpu::LINEA_ISA {
namespace {

constexpr float kRound = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer, which then stands in the low bits

struct Reduced {
  F32s mantissa;  // exp(r)
  I32s exponent;  // n
};

inline Reduced reduce_exp(F32s x) {
  constexpr float kLog2e = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  const F32s shifted = x * kLog2e + kRound;
  const F32s n = shifted - kRound;
  const F32s r = (x - n * kLn2High) - n * kLn2Low;
  F32s p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return {p * (r * r) + r + 1.0f, bits<I32s>(shifted) - bits<I32s>(splat(kRound))};
}

inline F32s exp(F32s x) {
  x = x < -104.0f ? splat(-104.0f) : x;
  x = x > 89.0f ? splat(89.0f) : x;
  const Reduced e = reduce_exp(x);
  const I32s half = e.exponent >> 1;
  return e.mantissa * bits<F32s>((half + 127) << 23) * bits<F32s>((e.exponent - half + 127) << 23);
}

// For x <= 0, as a softmax needs it: below -87 (where exp leaves the normal numbers) the result stays at 1.6e-38.
inline F32s exp_nonpositive(F32s x) {
  const Reduced e = reduce_exp(max(x, splat(-87.0f)));
  return bits<F32s>(bits<I32s>(e.mantissa) + (e.exponent << 23));
}

inline F32s sigmoid(F32s x) { return 1.0f / (1.0f + exp(-x)); }

inline F32s tanh(F32s x) {
  const F32s magnitude = bits<F32s>(bits<U32s>(x) & 0x7fffffffu);
  const F32s z = x * x;
  F32s p = z * -5.70498872745e-3f + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const F32s small = p * z * x + x;
  const F32s large = 1.0f - 2.0f / (exp(magnitude + magnitude) + 1.0f);
  const F32s signed_large = bits<F32s>(bits<U32s>(large) | (bits<U32s>(x) & 0x80000000u));
  return magnitude < 0.625f ? small : signed_large;
}

// The activation is a template argument, so that the branch stands outside of the loops.
template <Act kAct> inline F32s activate(F32s x) {
  if constexpr (kAct == Act::kRelu) {
    return x < 0.0f ? splat(0.0f) : x;  // keeps NaN
  } else if constexpr (kAct == Act::kSilu) {
    return x / (1.0f + exp(-x));
  } else if constexpr (kAct == Act::kGeluTanh) {
    constexpr float kTwoSqrt2OverPi = 1.59576912f;
    const F32s u = (x + 0.044715f * x * x * x) * kTwoSqrt2OverPi;
    return x / (1.0f + exp(-u));
  } else {
    return x;
  }
}

template <Act kAct> struct ActTag { static constexpr Act value = kAct; };
template <class Body> inline void with_act(Act act, Body body) {
  switch (act) {
    case Act::kNone: return body(ActTag<Act::kNone>{});
    case Act::kRelu: return body(ActTag<Act::kRelu>{});
    case Act::kSilu: return body(ActTag<Act::kSilu>{});
    case Act::kGeluTanh: return body(ActTag<Act::kGeluTanh>{});
  }
}

}  // namespace
}  // namespace linea::cpu::LINEA_ISA
