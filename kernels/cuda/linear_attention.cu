// kernels/cuda/linear_attention.cu: global ReLU linear attention with normaliser.
//
// Maths    M = Σ_n k_n⁺ v_nᵀ ∈ R^{d×d},  z = Σ_n k_n⁺;   y_n = (Mᵀ q_n⁺) / (z·q_n⁺ + eps)
// Shape    SANA-1.6B at 1024²: B = 2, N = 1024 tokens, H = 70 heads, d = 32.
// Tiles    state: block = (member, head, 256 tokens), 16×16 threads of (w/16)² sums, 32 tokens a step in shared memory; w = d rounded up to
//          32, 64 or 128. reduce: adds the blocks' states in order. apply: block = (member, head, 64 tokens), 4 × w/16 sums a thread.
// Traffic  q, k, v, y once: 2·4·1024·2240·2 B = 37 MB; states 560 · 4.2 KB = 2.4 MB, which stay in the second-level cache.
// Roofline bound by memory on paper (16 FLOP/B): 12 µs at 2.98 TB/s; shared-memory loads, one a multiply-add at d = 32, cost more.
// Accuracy f32; partial sums of fixed token blocks, added in order without atomics: bits do not depend on other members or the device.
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/tile.cuh"
#include "kernels/cuda/linear_attention.h"
#include "kernels/cuda/quantize_rows.h"

namespace linea {

namespace cuda {
namespace {

constexpr int kStateTokens = 32, kApplyTokens = 64;

// blockIdx: x = token block, y = member · heads + head
template <int kWidth, class T> __global__ void __launch_bounds__(kTileThreads) state_kernel(LinearAttentionParams p) {
  constexpr int kSums = kWidth / 16;
  __shared__ float keys[kStateTokens * kWidth], values[kStateTokens * kWidth];
  const int head = static_cast<int>(blockIdx.y) % p.heads, member = static_cast<int>(blockIdx.y) / p.heads;
  const T* k = static_cast<const T*>(p.k) + member * p.k_batch + head * p.k_head;
  const T* v = static_cast<const T*>(p.v) + member * p.v_batch + head * p.v_head;
  const int begin = static_cast<int>(blockIdx.x) * p.block_tokens, end = min(begin + p.block_tokens, p.tokens);
  const int thread = static_cast<int>(threadIdx.x);

  float sums[kSums][kSums] = {}, norm = 0;
  for (int n = begin; n < end; n += kStateTokens) {
    const int count = min(kStateTokens, end - n);
    __syncthreads();
    load_tile<kStateTokens, kWidth>(keys, kWidth, k + n * p.k_token, p.k_token, count, p.d, [](float a) { return fmaxf(a, 0.0f); });
    load_tile<kStateTokens, kWidth>(values, kWidth, v + n * p.v_token, p.v_token, count, p.d, [](float a) { return a; });
    __syncthreads();
    multiply_tiles(keys, 1, kWidth, values, kWidth, count, sums);
    if (thread < kWidth) {
      for (int t = 0; t < count; ++t) norm += keys[t * kWidth + thread];
    }
  }
  float* state = p.states + (static_cast<int64_t>(blockIdx.y) * p.blocks + blockIdx.x) * (p.d + 1) * p.d;
  const int tx = thread % 16, ty = thread / 16;
#pragma unroll
  for (int r = 0; r < kSums; ++r) {
#pragma unroll
    for (int c = 0; c < kSums; ++c) {
      const int i = ty * kSums + r, j = tx + 16 * c;
      if (i < p.d && j < p.d) state[i * p.d + j] = sums[r][c];
    }
  }
  if (thread < p.d) state[p.d * p.d + thread] = norm;
}

// The first block's state becomes the sum of all, blockIdx.y = member · heads + head.
__global__ void reduce_kernel(float* states, int blocks, int size) {
  follow_previous();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= size) return;
  float* state = states + static_cast<int64_t>(blockIdx.y) * blocks * size + i;
  float sum = state[0];
  for (int b = 1; b < blocks; ++b) sum += state[static_cast<int64_t>(b) * size];
  state[0] = sum;
}

template <int kWidth, class T> __global__ void __launch_bounds__(kTileThreads) apply_kernel(LinearAttentionParams p) {
  constexpr int kRows = kApplyTokens / 16, kColumns = kWidth / 16, kPitch = kWidth + 1;
  extern __shared__ float shared[];
  float* queries = shared;                          // [token][kPitch]
  float* matrix = queries + kApplyTokens * kPitch;  // [d][kWidth]
  float* norm = matrix + kWidth * kWidth;           // [kWidth]
  float* scales = norm + kWidth;                    // [token]
  const int head = static_cast<int>(blockIdx.y) % p.heads, member = static_cast<int>(blockIdx.y) / p.heads;
  const int begin = static_cast<int>(blockIdx.x) * kApplyTokens, count = min(kApplyTokens, p.tokens - begin);
  const T* q = static_cast<const T*>(p.q) + member * p.q_batch + head * p.q_head + begin * p.q_token;
  T* y = static_cast<T*>(p.y) + member * p.y_batch + head * p.y_head + begin * p.y_token;
  const float* state = p.states + static_cast<int64_t>(blockIdx.y) * p.blocks * (p.d + 1) * p.d;
  const int thread = static_cast<int>(threadIdx.x);

  const auto same = [](float a) { return a; };
  load_tile<kApplyTokens, kWidth>(queries, kPitch, q, p.q_token, count, p.d, [](float a) { return fmaxf(a, 0.0f); });
  load_tile<kWidth, kWidth>(matrix, kWidth, state, p.d, p.d, p.d, same);
  load_tile<1, kWidth>(norm, kWidth, state + p.d * p.d, p.d, 1, p.d, same);
  __syncthreads();
  if (thread < kApplyTokens) {
    float dot = 0;
    for (int i = 0; i < p.d; ++i) dot = fmaf(queries[thread * kPitch + i], norm[i], dot);
    scales[thread] = 1.0f / (dot + p.eps);
  }
  __syncthreads();
  float sums[kRows][kColumns] = {};
  multiply_tiles(queries, kPitch, 1, matrix, kWidth, p.d, sums);
  const int tx = thread % 16, ty = thread / 16;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int token = ty * kRows + r;
    if (token >= count) return;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      if (tx + 16 * c < p.d) y[token * p.y_token + tx + 16 * c] = from_float<T>(sums[r][c] * scales[token]);
    }
  }
}

void reduce(cudaStream_t stream, const LinearAttentionParams& p, int members) {
  if (p.blocks == 1) return;
  const int size = (p.d + 1) * p.d;
  const dim3 grid(static_cast<unsigned>(ceil_div(size, kTileThreads)), static_cast<unsigned>(members * p.heads));
  launch_chained("relu_linear_attention", reduce_kernel, grid, kTileThreads, 0, stream, p.states, p.blocks, size);
}

template <int kWidth, class T> void launch(cudaStream_t stream, const LinearAttentionParams& p, int members) {
  const char* op = "relu_linear_attention";
  const auto rows = static_cast<unsigned>(members * p.heads);
  state_kernel<kWidth, T><<<dim3(static_cast<unsigned>(p.blocks), rows), kTileThreads, 0, stream>>>(p);
  check_launch(op);
  reduce(stream, p, members);
  constexpr int kShared = (kApplyTokens * (kWidth + 1) + kWidth * kWidth + kWidth + kApplyTokens) * static_cast<int>(sizeof(float));
  allow_shared(apply_kernel<kWidth, T>, kShared, op);
  apply_kernel<kWidth, T><<<dim3(static_cast<unsigned>(ceil_div(p.tokens, kApplyTokens)), rows), kTileThreads, kShared, stream>>>(p);
  check_launch(op);
}

// Tokens whose products one partial state sums: few, so that short sequences and few heads fill the device too; of many heads as many as
// let a cluster of blocks have all tokens.
int64_t block_tokens_of(int64_t tokens, int64_t heads) {
  constexpr int64_t kFewHeads = 32, kFewest = 128;
  if (heads <= kFewHeads) return tokens <= 4096 ? kFewest : 4 * kFewest;
  return std::max<int64_t>(ceil_div(tokens, kMostShares * kFewest), 1) * kFewest;
}

// Heads that vector accesses can walk.
bool is_aligned_heads(const Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.raw()) % 16 == 0 && t.stride(0) % 8 == 0 && t.stride(1) % 8 == 0 && t.stride(2) % 8 == 0;
}

}  // namespace
}  // namespace cuda

using namespace cuda;

void CudaBackend::relu_linear_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& rows,
                                        float eps) {
  const int64_t batch = q.dim(0), tokens = q.dim(1), heads = q.dim(2), d = q.dim(3);
  const int64_t block_tokens = block_tokens_of(tokens, heads);
  const int64_t blocks = std::max<int64_t>(ceil_div(tokens, block_tokens), 1);
  const Arena::Scope scope(*ctx.arena);
  const bool bytes = rows.scales.defined(), on_tensor_cores = q.dtype() == DType::kBF16 && d == 32 && is_aligned_heads(q) &&
                                                              is_aligned_heads(k) && is_aligned_heads(v) && is_aligned_heads(rows.values);
  const Tensor y = bytes && !on_tensor_cores ? ctx.allocate(q.shape(), q.dtype()) : rows.values;
  const Tensor states = ctx.allocate({batch * heads, blocks, d + 1, d}, DType::kF32), bounds = ctx.allocate({batch, heads}, DType::kF32);
  if (ctx.planning() || q.elements() == 0) return;
  const cudaStream_t stream = enter();
  const cuda::LinearAttentionParams p = {.q = q.raw(),
                                         .k = k.raw(),
                                         .v = v.raw(),
                                         .y = y.raw(),
                                         .states = states.data<float>(),
                                         .q_batch = q.stride(0),
                                         .q_token = q.stride(1),
                                         .q_head = q.stride(2),
                                         .k_batch = k.stride(0),
                                         .k_token = k.stride(1),
                                         .k_head = k.stride(2),
                                         .v_batch = v.stride(0),
                                         .v_token = v.stride(1),
                                         .v_head = v.stride(2),
                                         .y_batch = y.stride(0),
                                         .y_token = y.stride(1),
                                         .y_head = y.stride(2),
                                         .tokens = static_cast<int>(tokens),
                                         .heads = static_cast<int>(heads),
                                         .d = static_cast<int>(d),
                                         .blocks = static_cast<int>(blocks),
                                         .block_tokens = static_cast<int>(block_tokens),
                                         .eps = eps,
                                         .scales = pointer<float>(rows.scales),
                                         .bounds = bounds.data<float>()};
  const int members = static_cast<int>(batch);
  if (on_tensor_cores) {
    if (is_cluster_attention(p, device_.index)) return linear_attention_cluster_bf16(stream, p, members, device_.index);
    linear_attention_state_bf16(stream, p, members);
    bytes ? linear_attention_bounds_bf16(stream, p, members) : reduce(stream, p, members);
    linear_attention_apply_bf16(stream, p, members, device_.index);
    return;
  }
  with_type(q.dtype(), "relu_linear_attention", [&](auto tag) {
    using T = typename decltype(tag)::type;
    LINEA_ASSERT(with_width(d, [&](auto width) { launch<decltype(width)::value, T>(stream, p, members); }));
  });
  if (bytes) quantize_rows(stream, y.reshape({batch, tokens, heads * d}), rows.values.reshape({batch, tokens, heads * d}), rows.scales);
}

}  // namespace linea
