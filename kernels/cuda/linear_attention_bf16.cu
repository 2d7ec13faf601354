// kernels/cuda/linear_attention_bf16.cu: ReLU linear attention of bf16 heads of 32 channels on tensor cores.
//
// Maths    M = Σ_n k_n⁺ v_nᵀ ∈ R^{32×32},  z = Σ_n k_n⁺;   y_n = (Mᵀ q_n⁺) / (z·q_n⁺ + eps)
// Shape    SANA-1.6B at 1024²: B = 2, N = 1024 tokens, H = 70 heads. DC-AE: 16 to 64 heads of interleaved q, k, v.
// Tiles    a warp takes one head; the four warps of a block take neighbouring heads, so that a token's 256 bytes are read together.
//          state: a warp sums a block of tokens, 16 an mma. apply: a warp holds M and z as fragments and takes 16 tokens at a time.
//          Up to eight blocks of tokens are a cluster (Hopper), whose blocks add up their states in each other's shared memory, a share
//          each, and then apply the sums to queries, the first of which have arrived meanwhile: one launch in place of three. A warp has
//          kStages stages of kStageTokens tokens under way, 16 KB of keys and values or 8 KB of queries.
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
#include <cooperative_groups.h>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/e4m3_rows.cuh"
#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device_facts.h"
#include "kernels/cuda/linear_attention.h"

namespace linea::cuda {
namespace {

using T = __nv_bfloat16;
constexpr int kDim = 32, kState = (kDim + 1) * kDim, kWarps = 4, kTokenBytes = 2 * kDim;
constexpr int kStageTokens = 32, kStages = 4;
constexpr uint32_t kOnes = 0x3f803f80;

__device__ uint32_t relu(uint32_t pair) {
  const __nv_bfloat162 v = __hmax2(*reinterpret_cast<const __nv_bfloat162*>(&pair), __floats2bfloat162_rn(0.0f, 0.0f));
  return *reinterpret_cast<const uint32_t*>(&v);
}

__device__ uint32_t low_halves(uint32_t a, uint32_t b) { return __byte_perm(a, b, 0x5410); }
__device__ uint32_t high_halves(uint32_t a, uint32_t b) { return __byte_perm(a, b, 0x7632); }

// Channels [4g, 4g + 4) of two neighbouring tokens, channel by channel.
__device__ void pair_up(const uint2 (&v)[2], uint32_t (&pairs)[4]) {
  pairs[0] = low_halves(v[0].x, v[1].x);
  pairs[1] = high_halves(v[0].x, v[1].x);
  pairs[2] = low_halves(v[0].y, v[1].y);
  pairs[3] = high_halves(v[0].y, v[1].y);
}

// Channels [4g, 4g + 4) of 16 tokens: pairs[half][i] holds channel 4g + i of the tokens 2t, 2t + 1 (half 0) and 2t + 8, 2t + 9 (half 1).
// read(half, i) gives the channels of token 8 half + 2t + i.
template <bool kRelu, class Read> __device__ void make_pairs(uint32_t (&pairs)[2][4], const Read& read) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    uint2 v[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      v[i] = read(half, i);
      if (kRelu) v[i] = {relu(v[i].x), relu(v[i].y)};
    }
    pair_up(v, pairs[half]);
  }
}

// From memory; tokens from `count` on are zeros.
template <bool kRelu> __device__ void load_pairs(const T* from, int64_t pitch, int count, uint32_t (&pairs)[2][4]) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  make_pairs<kRelu>(pairs, [&](int half, int i) {
    const int token = 8 * half + 2 * t + i;
    return token < count ? *reinterpret_cast<const uint2*>(from + token * pitch + 4 * g) : uint2{0, 0};
  });
}

// From what copy_tokens brought.
template <bool kRelu> __device__ void take_pairs(const T* from, uint32_t (&pairs)[2][4]) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  make_pairs<kRelu>(pairs, [&](int half, int i) {
    const char* place = reinterpret_cast<const char*>(from) + (8 * half + 2 * t) * kTokenBytes + ((4 * i + g / 2) ^ (2 * t)) * 16;
    return *reinterpret_cast<const uint2*>(place + g % 2 * 8);
  });
}

// A warp's way through tokens: ask(stage, n) asks for those from n on, kStageTokens of them, and use(stage, n) finds them there. All stages
// were asked for before (ask_for_stages), and each is asked for again when it has been used.
template <class Ask> __device__ void ask_for_stages(int count, const Ask& ask) {
#pragma unroll 1
  for (int stage = 0; stage < kStages; ++stage) {
    if (stage * kStageTokens < count) ask(stage, stage * kStageTokens);
    commit_copies();
  }
}
template <class Ask, class Use> __device__ void use_stages(int count, const Ask& ask, const Use& use) {
  int stage = 0;
#pragma unroll 1
  for (int n = 0; n < count; n += kStageTokens) {
    wait_copies<kStages - 1>();
    __syncwarp();
    use(stage, n);
    __syncwarp();
    if (n + kStages * kStageTokens < count) ask(stage, n + kStages * kStageTokens);
    commit_copies();
    stage = stage == kStages - 1 ? 0 : stage + 1;
  }
  wait_copies<0>();  // of nothing, which racecheck wants to see
}

// 16 bytes of a token's row, zeros when not `valid`. Warps of other heads read their parts of the row at about the same time: memory gives
// 256 bytes of it at once.
__device__ inline void copy_part(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0)
               : "memory");
}

// By a warp: kStageTokens tokens of a head into shared memory, zeros from `count` on. Two tokens share 128 bytes, whose 16-byte pieces lie
// such that take_pairs meets all banks.
__device__ inline void copy_tokens(T* to, const T* from, int64_t pitch, int count) {
  const int lane = static_cast<int>(threadIdx.x), token = lane / 4, piece = token % 2 * 4 + lane % 4, line = token / 2;
  char* place = reinterpret_cast<char*>(to) + line * 2 * kTokenBytes + (piece ^ (2 * line)) * 16;
  const T* source = from + token * pitch + lane % 4 * 8;
#pragma unroll
  for (int i = 0; i < kStageTokens / 8; ++i) {
    const bool valid = token + 8 * i < count;
    copy_part(place + i * 8 * kTokenBytes, valid ? source + i * 8 * pitch : from, valid);
  }
}

// What a warp sums of a head's tokens: row g of half m and column t of tile j, as an mma deals them.
struct StateSums {
  float sums[2][4][4] = {}, norm[2][4] = {};

  // Tokens [begin, end).
  __device__ void add(const LinearAttentionParams& p, int member, int head, int begin, int end) {
    const T* k = static_cast<const T*>(p.k) + member * p.k_batch + head * p.k_head;
    const T* v = static_cast<const T*>(p.v) + member * p.v_batch + head * p.v_head;
#pragma unroll 4
    for (int n = begin; n < end; n += 16) {
      uint32_t keys[2][4], values[2][4];
      load_pairs<true>(k + n * p.k_token, p.k_token, end - n, keys);
      load_pairs<false>(v + n * p.v_token, p.v_token, end - n, values);
      add(keys, values);
    }
  }

  // The tokens that copy_tokens brought.
  __device__ void add(const T* k, const T* v) {
#pragma unroll
    for (int n = 0; n < kStageTokens; n += 16) {
      uint32_t keys[2][4], values[2][4];
      take_pairs<true>(k + n * kDim, keys);
      take_pairs<false>(v + n * kDim, values);
      add(keys, values);
    }
  }

  __device__ void add(const uint32_t (&keys)[2][4], const uint32_t (&values)[2][4]) {
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      const uint32_t a[4] = {keys[0][2 * m], keys[0][2 * m + 1], keys[1][2 * m], keys[1][2 * m + 1]};
#pragma unroll
      for (int j = 0; j < 4; ++j) multiply<T>(sums[m][j], a, values[0][j], values[1][j]);
      multiply<T>(norm[m], a, kOnes, kOnes);
    }
  }

  __device__ void store_to(float* state) const {
    const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
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
};

// blockIdx: x = token block, y = group of heads, z = member; a warp a head
__global__ void __launch_bounds__(kWarps * 32) state_kernel(const __grid_constant__ LinearAttentionParams p) {
  follow_previous();
  // The last tokens first: what the product before wrote last is still in the second-level cache.
  const int block = static_cast<int>(gridDim.x - 1 - blockIdx.x), member = static_cast<int>(gridDim.z - 1 - blockIdx.z),
            head = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.y);
  if (head >= p.heads) return;
  StateSums state;
  state.add(p, member, head, block * p.block_tokens, min((block + 1) * p.block_tokens, p.tokens));
  state.store_to(p.states + ((static_cast<int64_t>(member) * p.heads + head) * p.blocks + block) * kState);
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

// M and z as the right side of the products with queries.
struct StateSides {
  uint32_t high[5][4], low[5][4];  // [tile, the last is z][inner index in steps of 8]

  __device__ explicit StateSides(const float* state) {
    const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
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
  }

  // Sums of 16 tokens: this thread's channels of the tokens g (queries[0]) and g + 8.
  __device__ void multiply_queries(uint4 (&queries)[2], float (&sums)[5][4]) const {
#pragma unroll
    for (uint4& q : queries) q = {relu(q.x), relu(q.y), relu(q.z), relu(q.w)};
    const uint32_t a[2][4] = {{queries[0].x, queries[1].x, queries[0].y, queries[1].y},
                              {queries[0].z, queries[1].z, queries[0].w, queries[1].w}};
#pragma unroll
    for (int j = 0; j < 5; ++j) {
#pragma unroll
      for (int s = 0; s < 2; ++s) {
        multiply<T>(sums[j], a[s], low[j][2 * s], low[j][2 * s + 1]);
        multiply<T>(sums[j], a[s], high[j][2 * s], high[j][2 * s + 1]);
      }
    }
  }
};

// The results of token g + 8 r from its sums.
__device__ inline void divide(const float (&sums)[5][4], int r, float eps, float (&v)[8]) {
  const float scale = 1.0f / (sums[4][2 * r] + eps);
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    v[2 * j] = sums[j][2 * r] * scale;
    v[2 * j + 1] = sums[j][2 * r + 1] * scale;
  }
}

// A warp's way through the queries [begin, end) of a head, in `queries`, [kStages, kStageTokens, 32] of shared memory.
struct QueryStages {
  const T* q;  // this thread's channels of the first query
  int64_t pitch;
  T* queries;
  int count;

  __device__ QueryStages(const LinearAttentionParams& p, int member, int head, int begin, int end, T* shared)
      : q(static_cast<const T*>(p.q) + member * p.q_batch + head * p.q_head + begin * p.q_token + static_cast<int>(threadIdx.x) % 4 * 8),
        pitch(p.q_token),
        queries(shared),
        count(end - begin) {}

  __device__ void operator()(int stage, int n) const {
    const int lane = static_cast<int>(threadIdx.x), first = n + lane / 4;
    T* to = queries + stage * kStageTokens * kDim + lane * 8;
#pragma unroll
    for (int i = 0; i < kStageTokens / 8; ++i) {
      const bool valid = first + 8 * i < count;
      copy_part(to + i * 8 * kDim, valid ? q + (first + 8 * i) * pitch : q, valid);
    }
  }
};

// y of queries that are there (16 from `from` on, the first of them `token`); with e4m3 times `factor`.
template <bool kBytes>
__device__ void apply_to_queries(const LinearAttentionParams& p, const StateSides& sides, const T* from, int token, int end, int64_t first,
                                 float factor) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  uint4 pair[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) pair[r] = *reinterpret_cast<const uint4*>(from + (g + 8 * r) * kDim + 8 * t);
  float sums[5][4] = {};
  sides.multiply_queries(pair, sums);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int64_t row = token + g + 8 * r;
    float v[8];
    divide(sums, r, p.eps, v);
    if (row >= end) continue;
    if constexpr (kBytes) {
      store_e4m3(static_cast<uint8_t*>(p.y) + first + row * p.y_token, v, factor);
    } else {
      store(static_cast<T*>(p.y) + first + row * p.y_token, v);
    }
  }
}

// y of all queries, the first stages of which were asked for; with e4m3 times the factor of `bound`.
template <bool kBytes>
__device__ void apply(const LinearAttentionParams& p, int member, int head, int begin, const QueryStages& ask, const float* state,
                      float bound) {
  const StateSides sides(state);
  const int64_t first = member * p.y_batch + head * p.y_head + static_cast<int>(threadIdx.x) % 4 * 8;  // in y
  const float factor = kBytes ? e4m3_factor(bound) : 0;
  use_stages(ask.count, ask, [&](int stage, int n) {
    const T* queries = ask.queries + stage * kStageTokens * kDim;
#pragma unroll 1
    for (int i = 0; i < kStageTokens; i += 16) {
      apply_to_queries<kBytes>(p, sides, queries + i * kDim, begin + n + i, begin + ask.count, first, factor);
    }
  });
}

// blockIdx: x = token block of p.apply_tokens, y = group of heads, z = member; a warp a head
template <bool kBytes> __global__ void __launch_bounds__(kWarps * 32) apply_kernel(const __grid_constant__ LinearAttentionParams p) {
  __shared__ __align__(16) T queries[kWarps][kStages * kStageTokens * kDim];
  const int head = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.y), member = static_cast<int>(blockIdx.z);
  const int lane = static_cast<int>(threadIdx.x);
  const int begin = static_cast<int>(blockIdx.x) * p.apply_tokens, end = min(begin + p.apply_tokens, p.tokens);
  follow_previous();
  if (head >= p.heads) return;
  const QueryStages ask(p, member, head, begin, end, queries[threadIdx.y]);
  ask_for_stages(ask.count, ask);
  float bound = 0;
  if constexpr (kBytes) {
#pragma unroll 1
    for (int h = lane; h < p.heads; h += 32) bound = fmaxf(bound, p.bounds[member * p.heads + h]);
    bound = max_lanes(bound);
    if (head == 0) {
#pragma unroll 1
      for (int n = begin + lane; n < end; n += 32) p.scales[static_cast<int64_t>(member) * p.tokens + n] = e4m3_scale(bound);
    }
  }
  const float* state = p.states + (static_cast<int64_t>(member) * p.heads + head) * p.blocks * kState;
  apply<kBytes>(p, member, head, begin, ask, state, bound);
}

// ---- A cluster's blocks together have a head's tokens ----------------------------------------------------------------------------------

constexpr int kClusterWarps = 2;  // heads of a block: few, so that the blocks spread evenly
constexpr int kClusterThreads = kClusterWarps * 32;

// What lies in shared memory: first each warp's keys and values, then queries; the block's own states, which become the sums of all
// blocks', apart from what is copied: racecheck does not see that copies end before other blocks come.
using Tokens = T[kClusterWarps][kStages * kStageTokens * kDim];
using States = float[kClusterWarps][kState];
struct ClusterShared {
  union {
    struct {
      Tokens keys, values;
    } of_state;
    Tokens queries;
  };
  States states;
};

#if LINEA_HOPPER_CODE

// Each block adds up its share of the states, which all blocks have put, in the blocks' order, and gives it to all, in the states' place:
// nobody else reads that share.
__device__ inline void sum_states(States& states) {
  constexpr int kVectors = kClusterWarps * kState / 4;
  const auto cluster = cooperative_groups::this_cluster();
  const int shares = static_cast<int>(cluster.num_blocks()), share = (kVectors + shares - 1) / shares,
            first = static_cast<int>(cluster.block_rank()) * share, thread = static_cast<int>(threadIdx.y * 32 + threadIdx.x);
  float4* own = reinterpret_cast<float4*>(states);
#pragma unroll 1
  for (int i = first + thread; i < min(first + share, kVectors); i += kClusterThreads) {
    // Rank r has the block of tokens shares - 1 - r.
    float4 parts[kMostShares];
#pragma unroll
    for (int b = 0; b < kMostShares; ++b) {
      if (b < shares) parts[b] = cluster.map_shared_rank(own, static_cast<unsigned>(shares - 1 - b))[i];
    }
    float4 sum = parts[0];
#pragma unroll
    for (int b = 1; b < kMostShares; ++b) {
      if (b < shares) sum = {sum.x + parts[b].x, sum.y + parts[b].y, sum.z + parts[b].z, sum.w + parts[b].w};
    }
#pragma unroll
    for (int b = 0; b < kMostShares; ++b) {
      if (b < shares) cluster.map_shared_rank(own, static_cast<unsigned>(b))[i] = sum;
    }
  }
  cluster.sync();
}

// A warp's head: its state where the apply kernel looks for it, and the bound of its results.
__device__ inline void store_bound(const LinearAttentionParams& p, int64_t member_head, const float* sums) {
  const int lane = static_cast<int>(threadIdx.x);
  float4* to = reinterpret_cast<float4*>(p.states + member_head * p.blocks * kState);
  float largest = 0;
#pragma unroll 1
  for (int i = lane; i < kState / 4; i += 32) {
    const float4 v = reinterpret_cast<const float4*>(sums)[i];
    to[i] = v;
    const float norm = i < kDim * kDim / 4 ? sums[kDim * kDim + 4 * i / kDim] : 0;
    if (norm > 0) largest = fmaxf(largest, fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fmaxf(fabsf(v.z), fabsf(v.w))) / norm);
  }
  largest = max_lanes(largest);
  if (lane == 0) p.bounds[member_head] = largest;
}

#endif

// A warp's sum over the keys and values [begin, end) of a head, whose stages lie in shared memory.
__device__ inline void sum_tokens(const LinearAttentionParams& p, int member, int head, int begin, int end, T* keys, T* values,
                                  StateSums& state) {
  const T* k = static_cast<const T*>(p.k) + member * p.k_batch + head * p.k_head + begin * p.k_token;
  const T* v = static_cast<const T*>(p.v) + member * p.v_batch + head * p.v_head + begin * p.v_token;
  const auto ask = [&](int stage, int n) {
    const int place = stage * kStageTokens * kDim;
    copy_tokens(keys + place, k + n * p.k_token, p.k_token, end - begin - n);
    copy_tokens(values + place, v + n * p.v_token, p.v_token, end - begin - n);
  };
  ask_for_stages(end - begin, ask);
  use_stages(end - begin, ask, [&](int stage, int) {
    const int place = stage * kStageTokens * kDim;
    state.add(keys + place, values + place);
  });
}

// blockIdx: x = token block of p.block_tokens, all of them a cluster, y = group of heads, z = member; a warp a head. y, or (kBytes) the
// first of the states and the bounds.
template <bool kBytes> __global__ void __launch_bounds__(kClusterThreads) cluster_kernel(const __grid_constant__ LinearAttentionParams p) {
#if LINEA_HOPPER_CODE
  __shared__ __align__(128) unsigned char shared_bytes[sizeof(ClusterShared)];
  ClusterShared& shared = *reinterpret_cast<ClusterShared*>(shared_bytes);
  const int block = static_cast<int>(gridDim.x - 1 - blockIdx.x), member = static_cast<int>(gridDim.z - 1 - blockIdx.z),
            warp = static_cast<int>(threadIdx.y), head = static_cast<int>(blockIdx.y) * kClusterWarps + warp;
  const int begin = block * p.block_tokens, end = min(begin + p.block_tokens, p.tokens);
  const bool has_head = head < p.heads;
  States& states = shared.states;
  follow_previous();
  StateSums state;
  if (has_head) sum_tokens(p, member, head, begin, end, shared.of_state.keys[warp], shared.of_state.values[warp], state);
  __syncthreads();  // everyone has read keys and values
  const QueryStages ask(p, member, head, begin, end, shared.queries[warp]);
  if (has_head) state.store_to(states[warp]);
  cooperative_groups::cluster_group::barrier_arrive();  // which waits for all that was asked for before: queries come after it
  if (!kBytes && has_head) ask_for_stages(ask.count, ask);
  cooperative_groups::cluster_group::barrier_wait();
  sum_states(states);
  if (!has_head) return;
  if constexpr (kBytes) {
    if (blockIdx.x == 0) store_bound(p, static_cast<int64_t>(member) * p.heads + head, states[warp]);
  } else {
    apply<false>(p, member, head, begin, ask, states[warp], 0);
  }
#endif
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

// Blocks of so many tokens that they stand on the device together: the states are read by fewer, and each asks for queries while it works.
void linear_attention_apply_bf16(cudaStream_t stream, const LinearAttentionParams& p, int members, int device) {
  constexpr int kFewest = kStages * kStageTokens, kBlocks = 4;  // on a multiprocessor
  const auto groups = static_cast<unsigned>(ceil_div(p.heads, kWarps));
  const int64_t most = std::max<int64_t>(int64_t{kBlocks} * processors_of(device) / (groups * static_cast<unsigned>(members)), 1);
  LinearAttentionParams own = p;
  own.apply_tokens = static_cast<int>(ceil_div(ceil_div(p.tokens, most), kFewest) * kFewest);
  const dim3 grid(static_cast<unsigned>(ceil_div(p.tokens, own.apply_tokens)), groups, static_cast<unsigned>(members)), threads(32, kWarps);
  launch_chained("relu_linear_attention", p.scales ? apply_kernel<true> : apply_kernel<false>, grid, threads, 0, stream, own);
}

bool is_cluster_attention(const LinearAttentionParams& p, int device) { return p.blocks <= kMostShares && is_hopper(device); }

void linear_attention_cluster_bf16(cudaStream_t stream, const LinearAttentionParams& p, int members, int device) {
  const auto groups = static_cast<unsigned>(ceil_div(p.heads, kClusterWarps)), blocks = static_cast<unsigned>(p.blocks);
  const dim3 grid(blocks, groups, static_cast<unsigned>(members)), threads(32, kClusterWarps);
  launch_chained_clusters("relu_linear_attention", p.scales ? cluster_kernel<true> : cluster_kernel<false>, grid, threads, 0, stream,
                          dim3(blocks), p);
  if (p.scales) linear_attention_apply_bf16(stream, p, members, device);
}

}  // namespace linea::cuda
