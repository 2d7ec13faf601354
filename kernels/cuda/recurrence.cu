// kernels/cuda/recurrence.cu: the recurrence of linear attentions, token by token.
//
// Maths    S ← diag(w) S - b (aᵀ S) + k (s v)ᵀ,   y = Sᵀ q + D v      with S [dk, dv] of a head
// Shape    RWKV-7 7.2B: 64 heads of 64×64, with the delta rule; Mamba-2 2.7B: 80 heads of 128×64. One token, or a prefill of thousands.
// Tiles    columns of S (value channels) do not mix: a block takes 32 of a head's. Two warps hold them in registers through all tokens, a
//          thread 4 columns of every 8th group of 4 keys; the sums over keys (aᵀS and Sᵀq) are butterflies of 8 lanes. The other four
//          warps run ahead: they widen a few tokens' vectors into shared memory while the two work on the ones before.
// Traffic  S once in and out a call; a token's vectors once for every 32 columns, from the second-level cache all but the first time.
// Roofline decode: 2 MB of state a layer of RWKV-7 7.2B, 0.7 µs at 2.98 TB/s, so a launch. Prefill: bound by the latency of a token's
//          chain (sum, butterfly, update), about 200 cycles.
// Accuracy f32. A token's arithmetic does not depend on where a call began: equal bits for any split of a sequence.
#include "kernels/cuda/common.cuh"
#include "kernels/recurrence_layout.h"

namespace linea {

namespace cuda {
namespace {

constexpr int kKeyLanes = 8;                                     // lanes that share a column
constexpr int kThreadColumns = 4;                                // columns of a thread
constexpr int kColumns = 32;                                     // of a block
constexpr int kWorkers = kColumns / kThreadColumns * kKeyLanes;  // threads that hold S
constexpr int kLoaders = 128;                                    // threads that fetch
constexpr int kKeyGroup = 4;                                     // keys read together

// The type of elements is told apart at run time: only the loaders and the stores of y see it.
struct RecurrenceParams {
  DType type;
  const void *q, *k, *v, *a, *b;  // a, b: of the delta rule
  void* y;
  const float *log_decay, *value_scale, *skip;  // each may be null
  float* state;
  int64_t q_token, q_head, k_token, k_head, v_token, v_head, a_token, a_head, b_token, b_head, y_token, y_head;
  int64_t decay_token, decay_head, scale_token;
  int64_t tokens;
  int key_dim, value_dim, heads_per_group;
  bool decay_per_channel, read_before_write;
  bool vectorised_keys;    // all vectors over keys can be read four at a time
  bool vectorised_values;  // and rows of the state as well
};

// A few tokens' vectors in f32; keys beyond key_dim are zeros, so that they leave S at zero.
template <int kKeys, bool kDelta> struct alignas(16) Stage {
  static constexpr int kTokens = 512 / kKeys;
  float q[kTokens][kKeys], k[kTokens][kKeys], w[kTokens][kKeys];
  float a[kDelta ? kTokens : 1][kKeys], b[kDelta ? kTokens : 1][kKeys];
  float v[kTokens][kColumns], scale[kTokens];
};

template <class F> __device__ inline void with_element(DType type, F&& f) {
  switch (type) {
    case DType::kBF16: return f(static_cast<__nv_bfloat16*>(nullptr));
    case DType::kF16: return f(static_cast<__half*>(nullptr));
    default: return f(static_cast<float*>(nullptr));
  }
}

// Four keys from key j of a vector, zeros beyond the last.
template <class T>
__device__ inline void read_keys(const RecurrenceParams& p, const void* base, int64_t offset, int j, float (&v)[kKeyGroup]) {
  const T* from = static_cast<const T*>(base) + offset;
  if (p.vectorised_keys && j + kKeyGroup <= p.key_dim) return load(from + j, v);
#pragma unroll
  for (int i = 0; i < kKeyGroup; ++i) v[i] = j + i < p.key_dim ? to_float(from[j + i]) : 0.0f;
}

__device__ inline void read_decays(const RecurrenceParams& p, int64_t t, int64_t head, int j, float (&w)[kKeyGroup]) {
  if (!p.log_decay) {
#pragma unroll
    for (int i = 0; i < kKeyGroup; ++i) w[i] = 1.0f;
    return;
  }
  const float* from = p.log_decay + t * p.decay_token + head * p.decay_head;
#pragma unroll
  for (int i = 0; i < kKeyGroup; ++i) w[i] = j + i < p.key_dim ? expf(from[p.decay_per_channel ? j + i : 0]) : 0.0f;
}

// The loaders' part: the vectors of a few tokens from `first`, all reads of a thread before its first write, so that they overlap.
template <class T, int kKeys, bool kDelta>
__device__ void fill_with(Stage<kKeys, kDelta>& stage, const RecurrenceParams& p, int64_t first, int64_t head, int column, int thread) {
  using S = Stage<kKeys, kDelta>;
  const int tokens = static_cast<int>(min(static_cast<int64_t>(S::kTokens), p.tokens - first));
  const int64_t group = head / p.heads_per_group;
  constexpr int kGroups = kKeys / kKeyGroup;
  for (int i = thread; i < tokens * kGroups; i += kLoaders) {
    const int token = i / kGroups, j = i % kGroups * kKeyGroup;
    const int64_t t = first + token;
    float q[kKeyGroup], k[kKeyGroup], w[kKeyGroup], a[kKeyGroup], b[kKeyGroup];
    read_keys<T>(p, p.q, t * p.q_token + group * p.q_head, j, q);
    read_keys<T>(p, p.k, t * p.k_token + group * p.k_head, j, k);
    if constexpr (kDelta) {
      read_keys<T>(p, p.a, t * p.a_token + head * p.a_head, j, a);
      read_keys<T>(p, p.b, t * p.b_token + head * p.b_head, j, b);
    }
    read_decays(p, t, head, j, w);
    store(&stage.q[token][j], q);
    store(&stage.k[token][j], k);
    store(&stage.w[token][j], w);
    if constexpr (kDelta) {
      store(&stage.a[token][j], a);
      store(&stage.b[token][j], b);
    }
  }
  const T* v = static_cast<const T*>(p.v) + head * p.v_head + column;
  for (int i = thread; i < tokens * kColumns; i += kLoaders) {
    const int token = i / kColumns, c = i % kColumns;
    stage.v[token][c] = column + c < p.value_dim ? to_float(v[(first + token) * p.v_token + c]) : 0.0f;
  }
  if (thread < tokens) stage.scale[thread] = p.value_scale ? p.value_scale[(first + thread) * p.scale_token + head] : 1.0f;
}

template <int kKeys, bool kDelta>
__device__ void fill(Stage<kKeys, kDelta>& stage, const RecurrenceParams& p, int64_t first, int64_t head, int column, int thread) {
  with_element(p.type, [&](auto* tag) { fill_with<std::remove_pointer_t<decltype(tag)>>(stage, p, first, head, column, thread); });
}

// Every one of the eight lanes gets the sums of all four values.
__device__ inline void sum_over_keys(float (&v)[kThreadColumns]) {
#pragma unroll
  for (int offset = kKeyLanes / 2; offset > 0; offset /= 2) {
#pragma unroll
    for (int c = 0; c < kThreadColumns; ++c) v[c] += __shfl_xor_sync(0xffffffffu, v[c], offset);
  }
}

// Lane l of eight gets the sum of value l / 2: half the values go away with each exchange.
__device__ inline float scatter_sums(const float (&v)[kThreadColumns], int lane) {
  const bool upper = lane & 4, odd = lane & 2;
  float first = upper ? v[2] : v[0], second = upper ? v[3] : v[1];
  first += __shfl_xor_sync(0xffffffffu, upper ? v[0] : v[2], 4);
  second += __shfl_xor_sync(0xffffffffu, upper ? v[1] : v[3], 4);
  float sum = odd ? second : first;
  sum += __shfl_xor_sync(0xffffffffu, odd ? first : second, 2);
  return sum + __shfl_xor_sync(0xffffffffu, sum, 1);
}

// The part of S that a thread holds: columns [column, column + 4) of the keys 32·i + 4·lane + j.
template <int kKeys> struct Cells {
  static constexpr int kGroups = kKeys / (kKeyLanes * kKeyGroup);
  float s[kGroups][kKeyGroup][kThreadColumns];

  // Calls move(pointer to the cells of a key, their registers, how many of the four columns exist) for every key that exists.
  template <class Move> __device__ void for_rows(const RecurrenceParams& p, int64_t head, int column, int lane, Move move) {
    const int columns = min(kThreadColumns, p.value_dim - column);
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
#pragma unroll
      for (int j = 0; j < kKeyGroup; ++j) {
        const int key = i * kKeyLanes * kKeyGroup + lane * kKeyGroup + j;
        if (key < p.key_dim && columns > 0) move(p.state + (head * p.key_dim + key) * p.value_dim + column, s[i][j], columns);
      }
    }
  }

  __device__ void read(const RecurrenceParams& p, int64_t head, int column, int lane) {
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
#pragma unroll
      for (int j = 0; j < kKeyGroup; ++j) {
#pragma unroll
        for (int c = 0; c < kThreadColumns; ++c) s[i][j][c] = 0;
      }
    }
    for_rows(p, head, column, lane, [&](const float* from, float(&to)[kThreadColumns], int columns) {
      if (p.vectorised_values) return load(from, to);
#pragma unroll
      for (int c = 0; c < kThreadColumns; ++c) to[c] = c < columns ? from[c] : 0.0f;
    });
  }

  __device__ void write(const RecurrenceParams& p, int64_t head, int column, int lane) {
    for_rows(p, head, column, lane, [&](float* to, float(&from)[kThreadColumns], int columns) {
      if (p.vectorised_values) return store(to, from);
#pragma unroll
      for (int c = 0; c < kThreadColumns; ++c) {
        if (c < columns) to[c] = from[c];
      }
    });
  }
};

// One token: S is replaced, and y of column lane / 2 returned, without the skip.
template <int kKeys, bool kDelta, bool kReadBefore>
__device__ inline float advance(Cells<kKeys>& cells, const Stage<kKeys, kDelta>& stage, int token, int column, int lane) {
  using C = Cells<kKeys>;
  float value[kThreadColumns], erased[kThreadColumns] = {0, 0, 0, 0}, result[kThreadColumns] = {0, 0, 0, 0};
  load(&stage.v[token][column], value);
#pragma unroll
  for (int c = 0; c < kThreadColumns; ++c) value[c] *= stage.scale[token];
  if constexpr (kDelta) {
#pragma unroll
    for (int i = 0; i < C::kGroups; ++i) {
      float a[kKeyGroup];
      load(&stage.a[token][(i * kKeyLanes + lane) * kKeyGroup], a);
#pragma unroll
      for (int j = 0; j < kKeyGroup; ++j) {
#pragma unroll
        for (int c = 0; c < kThreadColumns; ++c) erased[c] = fmaf(cells.s[i][j][c], a[j], erased[c]);
      }
    }
    sum_over_keys(erased);
  }
#pragma unroll
  for (int i = 0; i < C::kGroups; ++i) {
    const int key = (i * kKeyLanes + lane) * kKeyGroup;
    float q[kKeyGroup], k[kKeyGroup], w[kKeyGroup], b[kKeyGroup] = {0, 0, 0, 0};
    load(&stage.q[token][key], q);
    load(&stage.k[token][key], k);
    load(&stage.w[token][key], w);
    if constexpr (kDelta) load(&stage.b[token][key], b);
#pragma unroll
    for (int j = 0; j < kKeyGroup; ++j) {
#pragma unroll
      for (int c = 0; c < kThreadColumns; ++c) {
        float& s = cells.s[i][j][c];
        if constexpr (kReadBefore) result[c] = fmaf(s, q[j], result[c]);
        s = fmaf(s, w[j], value[c] * k[j]);
        if constexpr (kDelta) s = fmaf(-erased[c], b[j], s);
        if constexpr (!kReadBefore) result[c] = fmaf(s, q[j], result[c]);
      }
    }
  }
  return scatter_sums(result, lane);
}

__device__ inline void store_value(const RecurrenceParams& p, int64_t offset, float value) {
  with_element(p.type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    static_cast<T*>(p.y)[offset] = from_float<T>(value);
  });
}

template <int kKeys, bool kDelta, bool kReadBefore>
__global__ void __launch_bounds__(kWorkers + kLoaders) recurrence_kernel(const __grid_constant__ RecurrenceParams p) {
  using S = Stage<kKeys, kDelta>;
  __shared__ S stages[2];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kKeyLanes;
  const bool works = thread < kWorkers;  // whole warps
  const int64_t head = blockIdx.x;
  const int block_column = static_cast<int>(blockIdx.y) * kColumns, own_column = thread / kKeyLanes * kThreadColumns;
  Cells<kKeys> cells;
  if (works) {
    cells.read(p, head, block_column + own_column, lane);
  } else {
    fill(stages[0], p, 0, head, block_column, thread - kWorkers);
  }
  __syncthreads();
  const int out_column = own_column + lane / 2;  // whose sum this lane receives
  const bool stores = lane % 2 == 0 && block_column + out_column < p.value_dim;
  const float skip = p.skip ? p.skip[head] : 0.0f;
  const int64_t out = head * p.y_head + block_column + out_column;
  int current = 0;
  for (int64_t first = 0; first < p.tokens; first += S::kTokens) {
    if (works) {
      const int tokens = static_cast<int>(min(static_cast<int64_t>(S::kTokens), p.tokens - first));
      for (int token = 0; token < tokens; ++token) {
        const float sum = advance<kKeys, kDelta, kReadBefore>(cells, stages[current], token, own_column, lane);
        if (stores) store_value(p, out + (first + token) * p.y_token, fmaf(skip, stages[current].v[token][out_column], sum));
      }
    } else if (first + S::kTokens < p.tokens) {
      fill(stages[1 - current], p, first + S::kTokens, head, block_column, thread - kWorkers);
    }
    current = 1 - current;
    __syncthreads();
  }
  if (works) cells.write(p, head, block_column + own_column, lane);
}

template <int kKeys> void launch(const RecurrenceParams& p, int64_t heads, cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>(heads), static_cast<unsigned>(ceil_div(p.value_dim, kColumns)));
  constexpr int kThreads = kWorkers + kLoaders;
  if (p.a && p.read_before_write) {
    recurrence_kernel<kKeys, true, true><<<blocks, kThreads, 0, stream>>>(p);
  } else if (p.a) {
    recurrence_kernel<kKeys, true, false><<<blocks, kThreads, 0, stream>>>(p);
  } else if (p.read_before_write) {
    recurrence_kernel<kKeys, false, true><<<blocks, kThreads, 0, stream>>>(p);
  } else {
    recurrence_kernel<kKeys, false, false><<<blocks, kThreads, 0, stream>>>(p);
  }
  check_launch("linear_recurrence");
}

bool heads_have_vectors(const Tensor& t) {
  const int64_t size = bytes_of(t.dtype());
  return !t.defined() || (reinterpret_cast<uintptr_t>(t.raw()) % static_cast<uintptr_t>(kKeyGroup * size) == 0 &&
                          t.stride(0) % kKeyGroup == 0 && t.stride(1) % kKeyGroup == 0);
}

RecurrenceParams recurrence_params(const Tensor& q, const Tensor& k, const Tensor& v, const RecurrenceArgs& args, const Tensor& state,
                                   const Tensor& y) {
  auto p = recurrence_layout<RecurrenceParams>(q, k, v, args, state, y);
  p.type = q.dtype();
  p.vectorised_keys = heads_have_vectors(q) && heads_have_vectors(k) && heads_have_vectors(args.a) && heads_have_vectors(args.b);
  p.vectorised_values = v.dim(2) % kThreadColumns == 0 && is_aligned(state.raw(), 0);
  return p;
}

}  // namespace
}  // namespace cuda

using namespace cuda;

void CudaBackend::linear_recurrence(Context&, const Tensor& q, const Tensor& k, const Tensor& v, const RecurrenceArgs& args,
                                    const Tensor& state, const Tensor& y) {
  const cudaStream_t stream = enter();
  if (v.elements() == 0) return;
  const RecurrenceParams p = recurrence_params(q, k, v, args, state, y);
  const int64_t heads = v.dim(1);
  if (p.key_dim <= 64) return launch<64>(p, heads, stream);
  if (p.key_dim <= 128) return launch<128>(p, heads, stream);
  if (p.key_dim <= 256) return launch<256>(p, heads, stream);
  throw Error(ErrorKind::kDevice, "linear_recurrence with " + std::to_string(p.key_dim) + " keys a head does not run on CUDA devices",
              "choose --device cpu");
}

}  // namespace linea
