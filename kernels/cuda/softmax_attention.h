// kernels/cuda/softmax_attention.h: what the two kernels of softmax attention share.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/dtype.h"
#include "kernels/ops.h"

namespace linea::cuda {

constexpr int kMembersPerLaunch = 64;

struct AttentionParams {
  const void *q, *k, *v;
  void* y;
  int64_t q_batch, q_token, q_head, y_batch, y_token, y_head, k_token, k_head, v_token, v_head;  // strides in elements
  int d, queries, heads, heads_per_key_head;
  float scale, softcap;
  int64_t window;  // 0 = all
  bool causal;
  bool vectorised;  // every head of a row starts at a multiple of 16 bytes and has whole vectors
  int64_t key_offsets[kMembersPerLaunch + 1];
  // y as e4m3, contiguous: a scale for each member's query, from the largest of the partial bounds [members, kBoundParts] of its values.
  float* scales = nullptr;
  const float* bounds = nullptr;
};

// A result is a mean of values with positive weights, so the largest absolute value of a member bounds it.
constexpr int kBoundParts = kValueBoundParts;
void value_bounds(cudaStream_t stream, DType type, const AttentionParams& p, int64_t members, float* bounds);

struct Range {
  int64_t begin, end;
};

// The tensor core kernel of 16-bit types, d up to 256, and the multiply-add kernel of f32.
void attention_16(cudaStream_t stream, DType type, const AttentionParams& p, int64_t members);
void attention_f32(cudaStream_t stream, const AttentionParams& p, int64_t members);

// The kernel of 16-bit types for many queries on few keys, on Hopper; whether it suits a member with so many keys. It looks at no other
// member, so that each gets the same bits in any company.
bool is_hopper_attention(int device, const AttentionParams& p, int64_t keys);
void hopper_attention(cudaStream_t stream, DType type, const AttentionParams& p, int64_t members, int device);

#if defined(__CUDACC__)
// The keys of a segment that a query may see.
__device__ inline Range visible_keys(const AttentionParams& p, int64_t query, int64_t keys) {
  return {p.window > 0 ? max(query - p.window + 1, int64_t{0}) : 0, p.causal ? min(query + 1, keys) : keys};
}
#endif

}  // namespace linea::cuda
