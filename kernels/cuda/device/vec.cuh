// kernels/cuda/device/vec.cuh: elements in memory as floats in registers.
#pragma once

#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace linea::cuda {

// Elements of a vector access: 16 bytes of a 16-bit type, twice 16 bytes of f32.
constexpr int kVector = 8;

__device__ inline float to_float(float v) { return v; }
__device__ inline float to_float(__nv_bfloat16 v) { return __bfloat162float(v); }
__device__ inline float to_float(__half v) { return __half2float(v); }

template <class T> __device__ inline T from_float(float v);
template <> __device__ inline float from_float<float>(float v) { return v; }
template <> __device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float v) { return __float2bfloat16_rn(v); }
template <> __device__ inline __half from_float<__half>(float v) { return __float2half_rn(v); }

// Two elements of a 16-bit type in a word, the first in its low half.
template <class T> __device__ inline uint32_t pack_pair(float low, float high);
template <> __device__ inline uint32_t pack_pair<__nv_bfloat16>(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}
template <> __device__ inline uint32_t pack_pair<__half>(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}
// As halves, the largest where a value is beyond it.
__device__ inline uint32_t pack_finite_halves(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.satfinite.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

template <class T> __device__ inline void unpack_pair(uint32_t pair, float& low, float& high);
template <> __device__ inline void unpack_pair<__nv_bfloat16>(uint32_t pair, float& low, float& high) {
  low = __uint_as_float(pair << 16);
  high = __uint_as_float(pair & 0xffff0000u);
}
template <> __device__ inline void unpack_pair<__half>(uint32_t pair, float& low, float& high) {
  const float2 v = __half22float2(*reinterpret_cast<const __half2*>(&pair));
  low = v.x;
  high = v.y;
}

template <class T, int kWidth> struct alignas(kWidth * sizeof(T) < 16 ? kWidth * sizeof(T) : 16) Pack { T element[kWidth]; };

template <int kWidth, class T> __device__ inline void load(const T* from, float (&v)[kWidth]) {
  if constexpr (sizeof(T) == 2 && kWidth % 2 == 0) {
    const auto pack = *reinterpret_cast<const Pack<uint32_t, kWidth / 2>*>(from);
#pragma unroll
    for (int i = 0; i < kWidth; i += 2) unpack_pair<T>(pack.element[i / 2], v[i], v[i + 1]);
  } else {
    const auto pack = *reinterpret_cast<const Pack<T, kWidth>*>(from);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) v[i] = to_float(pack.element[i]);
  }
}

template <int kWidth, class T> __device__ inline void store(T* to, const float (&v)[kWidth]) {
  if constexpr (sizeof(T) == 2 && kWidth % 2 == 0) {
    Pack<uint32_t, kWidth / 2> pack;
#pragma unroll
    for (int i = 0; i < kWidth; i += 2) pack.element[i / 2] = pack_pair<T>(v[i], v[i + 1]);
    *reinterpret_cast<Pack<uint32_t, kWidth / 2>*>(to) = pack;
  } else {
    Pack<T, kWidth> pack;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) pack.element[i] = from_float<T>(v[i]);
    *reinterpret_cast<Pack<T, kWidth>*>(to) = pack;
  }
}

}  // namespace linea::cuda
