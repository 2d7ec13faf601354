// kernels/cuda/device/e4m3_rows.cuh: rows as 8-bit floats (e4m3) with a scale each: s = max |x| / 448, y = round(x / s).
#pragma once

#include <cuda_fp8.h>

#include "kernels/cuda/device/vec.cuh"

namespace linea::cuda {

constexpr float kLargestE4m3 = 448.0f;

// What a row whose largest absolute value is given is multiplied by, and what gives it back.
__device__ inline float e4m3_factor(float largest) { return largest > 0 ? kLargestE4m3 / largest : 0.0f; }
__device__ inline float e4m3_scale(float largest) { return largest / kLargestE4m3; }

__device__ inline void store_e4m3(uint8_t* to, const float (&v)[kVector], float factor) {
  __nv_fp8x2_storage_t pairs[kVector / 2];
#pragma unroll
  for (int j = 0; j < kVector; j += 2) {
    pairs[j / 2] = __nv_cvt_float2_to_fp8x2({v[j] * factor, v[j + 1] * factor}, __NV_SATFINITE, __NV_E4M3);
  }
  *reinterpret_cast<uint2*>(to) = {pairs[0] | static_cast<uint32_t>(pairs[1]) << 16, pairs[2] | static_cast<uint32_t>(pairs[3]) << 16};
}

}  // namespace linea::cuda
