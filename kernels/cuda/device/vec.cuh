// kernels/cuda/device/vec.cuh: elements in memory as floats in registers.
#pragma once

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

template <class T, int kWidth> struct alignas(kWidth * sizeof(T) < 16 ? kWidth * sizeof(T) : 16) Pack { T element[kWidth]; };

template <int kWidth, class T> __device__ inline void load(const T* from, float (&v)[kWidth]) {
  const Pack<T, kWidth> pack = *reinterpret_cast<const Pack<T, kWidth>*>(from);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) v[i] = to_float(pack.element[i]);
}

template <int kWidth, class T> __device__ inline void store(T* to, const float (&v)[kWidth]) {
  Pack<T, kWidth> pack;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) pack.element[i] = from_float<T>(v[i]);
  *reinterpret_cast<Pack<T, kWidth>*>(to) = pack;
}

}  // namespace linea::cuda
