// kernels/cuda/linear_attention_bf16.cu: ReLU linear attention of bf16 heads of 32 channels on tensor cores, without shared memory.
//
// Maths    M = Σ_n k_n⁺ v_nᵀ ∈ R^{32×32},  z = Σ_n k_n⁺;   y_n = (Mᵀ q_n⁺) / (z·q_n⁺ + eps)
// Shape    SANA-1.6B at 1024²: B = 2, N = 1024 tokens, H = 70 heads. DC-AE: 16 to 64 heads of interleaved q, k, v.
// Tiles    a warp takes one head; the four warps of a block take neighbouring heads, so that a token's 256 bytes are read together.
//          state: a warp sums a block of tokens, 16 an mma. apply: a warp holds M and z as fragments and takes 16 tokens at a time.
// Order    an mma does not care which of its rows is which channel or token as long as both sides agree, so the rows are dealt such that
//          every thread's elements lie together in memory: state, row g of half m is channel 4g + 2m (4g + 2m + 1 for the lower rows) and
//          column g of tile j is channel 4g + j; apply, the inner index runs over channels 8t + … and column 2t + e of tile j is channel
//          8t + 2j + e (g = lane / 4, t = lane mod 4).
// Traffic  q, k, v, y once: 37 MB; states 4.2 KB a head and block of tokens, which stay in the second-level cache.
// Roofline bound by memory: 12 µs at 2.98 TB/s.
// Accuracy products of bf16 values are exact, sums in f32. M enters the second product as two bf16 parts, 2^-17 from its f32 value. Partial
//          sums of fixed token blocks are added in order: bits do not depend on other members or the device.
// e4m3     y_i is a mean of the M_ji / z_j with the weights z_j q_j, all of them positive, so the largest |M_ji| / z_j of all heads bounds
//          what a member's tokens have, and is near it: its scale serves all of them. e4m3 is precise over 2^15.
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/e4m3_rows.cuh"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/linear_attention.h"

namespace linea::cuda {
namespace {

using T = __nv_bfloat16;
constexpr int kDim = 32, kState = (kDim + 1) * kDim, kWarps = 4, kApplyTokens = 128;
constexpr uint32_t kOnes = 0x3f803f80;

__device__ uint32_t relu(uint32_t pair) {
  const __nv_bfloat162 v = __hmax2(*reinterpret_cast<const __nv_bfloat162*>(&pair), __floats2bfloat162_rn(0.0f, 0.0f));
  return *reinterpret_cast<const uint32_t*>(&v);
}

__device__ uint32_t low_halves(uint32_t a, uint32_t b) { return __byte_perm(a, b, 0x5410); }
__device__ uint32_t high_halves(uint32_t a, uint32_t b) { return __byte_perm(a, b, 0x7632); }

// Channels [4g, 4g + 4) of 16 tokens: pairs[half][i] holds channel 4g + i of the tokens 2t, 2t + 1 (half 0) and 2t + 8, 2t + 9 (half 1).
// Tokens from `count` on are zeros.
template <bool kRelu> __device__ void load_pairs(const T* from, int64_t pitch, int count, uint32_t (&pairs)[2][4]) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    uint2 v[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int token = 8 * half + 2 * t + i;
      v[i] = token < count ? *reinterpret_cast<const uint2*>(from + token * pitch + 4 * g) : uint2{0, 0};
      if (kRelu) v[i] = {relu(v[i].x), relu(v[i].y)};
    }
    pairs[half][0] = low_halves(v[0].x, v[1].x);
    pairs[half][1] = high_halves(v[0].x, v[1].x);
    pairs[half][2] = low_halves(v[0].y, v[1].y);
    pairs[half][3] = high_halves(v[0].y, v[1].y);
  }
}

// blockIdx: x = token block, y = group of heads, z = member; a warp a head
__global__ void __launch_bounds__(kWarps * 32) state_kernel(const __grid_constant__ LinearAttentionParams p) {
  follow_previous();
  // The last tokens first: what the product before wrote last is still in the second-level cache.
  const int block = static_cast<int>(gridDim.x - 1 - blockIdx.x), member = static_cast<int>(gridDim.z - 1 - blockIdx.z),
            head = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.y);
  if (head >= p.heads) return;
  const int begin = block * p.block_tokens, end = min(begin + p.block_tokens, p.tokens);
  const T* k = static_cast<const T*>(p.k) + member * p.k_batch + head * p.k_head;
  const T* v = static_cast<const T*>(p.v) + member * p.v_batch + head * p.v_head;

  float sums[2][4][4] = {}, norm[2][4] = {};
#pragma unroll 4
  for (int n = begin; n < end; n += 16) {
    uint32_t keys[2][4], values[2][4];
    load_pairs<true>(k + n * p.k_token, p.k_token, end - n, keys);
    load_pairs<false>(v + n * p.v_token, p.v_token, end - n, values);
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      const uint32_t a[4] = {keys[0][2 * m], keys[0][2 * m + 1], keys[1][2 * m], keys[1][2 * m + 1]};
#pragma unroll
      for (int j = 0; j < 4; ++j) multiply<T>(sums[m][j], a, values[0][j], values[1][j]);
      multiply<T>(norm[m], a, kOnes, kOnes);
    }
  }

  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  float* state = p.states + ((static_cast<int64_t>(member) * p.heads + head) * p.blocks + block) * kState;
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int channel = 4 * g + 2 * m + r;
      float4* row = reinterpret_cast<float4*>(state + channel * kDim + 8 * t);
      row[0] = {sums[m][0][2 * r], sums[m][1][2 * r], sums[m][2][2 * r], sums[m][3][2 * r]};
      row[1] = {sums[m][0][2 * r + 1], sums[m][1][2 * r + 1], sums[m][2][2 * r + 1], sums[m][3][2 * r + 1]};
      if (t == 0) state[kDim * kDim + channel] = norm[m][2 * r];
    }
  }
}

// A head's first state becomes the sum of all, in order, and its bound is found. blockIdx.x = member · heads + head
constexpr int kBoundThreads = 256;
__global__ void __launch_bounds__(kBoundThreads) bound_kernel(const __grid_constant__ LinearAttentionParams p) {
  __shared__ float sums[kState], maxima[kBoundThreads / 32];
  follow_previous();
  const int thread = static_cast<int>(threadIdx.x);
  float* states = p.states + static_cast<int64_t>(blockIdx.x) * p.blocks * kState;
  for (int i = thread; i < kState; i += kBoundThreads) {
    float sum = states[i];
    for (int b = 1; b < p.blocks; ++b) sum += states[static_cast<int64_t>(b) * kState + i];
    states[i] = sums[i] = sum;
  }
  __syncthreads();
  float largest = 0;
  for (int i = thread; i < kDim * kDim; i += kBoundThreads) {
    const float norm = sums[kDim * kDim + i / kDim];
    if (norm > 0) largest = fmaxf(largest, fabsf(sums[i]) / norm);
  }
  largest = max_lanes(largest);
  if (thread % 32 == 0) maxima[thread / 32] = largest;
  __syncthreads();
  if (thread > 0) return;
  for (const float other : maxima) largest = fmaxf(largest, other);
  p.bounds[blockIdx.x] = largest;
}

// Two floats as bf16, and what the rounding lost as bf16.
struct Split {
  uint32_t high, low;
  __device__ Split(float a, float b) {
    const __nv_bfloat162 rounded = __floats2bfloat162_rn(a, b);
    const __nv_bfloat162 rest = __floats2bfloat162_rn(a - __low2float(rounded), b - __high2float(rounded));
    high = *reinterpret_cast<const uint32_t*>(&rounded);
    low = *reinterpret_cast<const uint32_t*>(&rest);
  }
};

// blockIdx: x = token block of kApplyTokens, y = group of heads, z = member; a warp a head
template <bool kBytes> __global__ void __launch_bounds__(kWarps * 32) apply_kernel(const __grid_constant__ LinearAttentionParams p) {
  follow_previous();
  const int head = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.y), member = static_cast<int>(blockIdx.z);
  if (head >= p.heads) return;
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  const float* state = p.states + (static_cast<int64_t>(member) * p.heads + head) * p.blocks * kState;
  uint32_t high[5][4], low[5][4];  // [tile, the last is z][inner index in steps of 8]
#pragma unroll
  for (int j = 0; j < 5; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int inner = 8 * t + 2 * i;  // step i / 2, half i mod 2
      const float* from = j < 4 ? state + inner * kDim + 8 * (g / 2) + 2 * j + g % 2 : state + kDim * kDim + inner;
      const Split split(from[0], from[j < 4 ? kDim : 1]);
      high[j][i] = split.high;
      low[j][i] = split.low;
    }
  }
  const int begin = static_cast<int>(blockIdx.x) * kApplyTokens, end = min(begin + kApplyTokens, p.tokens);
  const T* q = static_cast<const T*>(p.q) + member * p.q_batch + head * p.q_head + 8 * t;
  const int64_t first = member * p.y_batch + head * p.y_head + 8 * t;  // in y
  float bound = 0;
  if constexpr (kBytes) {
    for (int h = lane; h < p.heads; h += 32) bound = fmaxf(bound, p.bounds[member * p.heads + h]);
    bound = max_lanes(bound);
    if (head == 0) {
      for (int n = begin + lane; n < end; n += 32) p.scales[static_cast<int64_t>(member) * p.tokens + n] = e4m3_scale(bound);
    }
  }
#pragma unroll 2
  for (int n = begin; n < end; n += 16) {
    uint4 queries[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int token = n + g + 8 * r;
      queries[r] = token < end ? *reinterpret_cast<const uint4*>(q + token * p.q_token) : uint4{0, 0, 0, 0};
      queries[r] = {relu(queries[r].x), relu(queries[r].y), relu(queries[r].z), relu(queries[r].w)};
    }
    const uint32_t a[2][4] = {{queries[0].x, queries[1].x, queries[0].y, queries[1].y},
                              {queries[0].z, queries[1].z, queries[0].w, queries[1].w}};
    float sums[5][4] = {};
#pragma unroll
    for (int j = 0; j < 5; ++j) {
#pragma unroll
      for (int s = 0; s < 2; ++s) {
        multiply<T>(sums[j], a[s], low[j][2 * s], low[j][2 * s + 1]);
        multiply<T>(sums[j], a[s], high[j][2 * s], high[j][2 * s + 1]);
      }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int token = n + g + 8 * r;
      if (token >= end) continue;
      const float scale = 1.0f / (sums[4][2 * r] + p.eps);
      float v[8];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        v[2 * j] = sums[j][2 * r] * scale;
        v[2 * j + 1] = sums[j][2 * r + 1] * scale;
      }
      if constexpr (kBytes) {
        store_e4m3(static_cast<uint8_t*>(p.y) + first + token * p.y_token, v, e4m3_factor(bound));
      } else {
        store(static_cast<T*>(p.y) + first + token * p.y_token, v);
      }
    }
  }
}

}  // namespace

void linear_attention_state_bf16(cudaStream_t stream, const LinearAttentionParams& p, int members) {
  const auto groups = static_cast<unsigned>(ceil_div(p.heads, kWarps));
  const dim3 grid(static_cast<unsigned>(p.blocks), groups, static_cast<unsigned>(members));
  launch_chained("relu_linear_attention", state_kernel, grid, dim3(32, kWarps), 0, stream, p);
}

void linear_attention_bounds_bf16(cudaStream_t stream, const LinearAttentionParams& p, int members) {
  launch_chained("relu_linear_attention", bound_kernel, static_cast<unsigned>(members * p.heads), kBoundThreads, 0, stream, p);
}

void linear_attention_apply_bf16(cudaStream_t stream, const LinearAttentionParams& p, int members) {
  const auto groups = static_cast<unsigned>(ceil_div(p.heads, kWarps));
  const auto blocks = static_cast<unsigned>(ceil_div(p.tokens, kApplyTokens));
  const dim3 grid(blocks, groups, static_cast<unsigned>(members)), threads(32, kWarps);
  launch_chained("relu_linear_attention", p.scales ? apply_kernel<true> : apply_kernel<false>, grid, threads, 0, stream, p);
}

}  // namespace linea::cuda
