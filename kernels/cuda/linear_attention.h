// kernels/cuda/linear_attention.h: what the kernels of ReLU linear attention share.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace linea::cuda {

constexpr int kMostShares = 8;  // blocks of a cluster, as every device can hold together

struct LinearAttentionParams {
  const void *q, *k, *v;
  void* y;
  float* states;  // [B, H, blocks, d + 1, d]: M, then z; at last the first block's holds the sums of all
  int64_t q_batch, q_token, q_head, k_batch, k_token, k_head, v_batch, v_token, v_head, y_batch, y_token, y_head;  // strides in elements
  int tokens, heads, d, blocks, block_tokens;
  float eps;
  // y as e4m3, contiguous: [B, N] scales, and [B, H] scratch for bounds of the values.
  float *scales = nullptr, *bounds = nullptr;
  int apply_tokens = 0;  // of a block that applies the states
};

// For bf16, d = 32, and heads that start at multiples of 16 bytes: the blocks' states, their sums with the heads' bounds, and y from the
// summed state.
void linear_attention_bounds_bf16(cudaStream_t stream, const LinearAttentionParams& p, int members);
void linear_attention_state_bf16(cudaStream_t stream, const LinearAttentionParams& p, int members);
void linear_attention_apply_bf16(cudaStream_t stream, const LinearAttentionParams& p, int members, int device);

// All of it, in the same bits, where a cluster of blocks can hold the tokens.
bool is_cluster_attention(const LinearAttentionParams& p, int device);
void linear_attention_cluster_bf16(cudaStream_t stream, const LinearAttentionParams& p, int members, int device);

}  // namespace linea::cuda
