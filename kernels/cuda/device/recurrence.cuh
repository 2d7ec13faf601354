// kernels/cuda/device/recurrence.cuh: one head's state in registers and the vectors of its tokens in shared memory.
//
// Columns of S (value channels) do not mix. A thread holds two columns of every 8th group of 4 keys; eight neighbouring lanes share a
// column, and what is read from the state is summed over them by a butterfly. What a token gives is left as the eight lanes' parts, which
// other threads add up (or the same ones, later): nothing in the chain from token to token waits for it.
#pragma once

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/functions.cuh"
#include "kernels/recurrence_layout.h"

namespace linea::cuda {

constexpr int kKeyLanes = 8;                                                            // lanes that share a column
constexpr int kThreadColumns = 2;                                                       // columns of a thread
constexpr int kKeyGroup = 4;                                                            // keys read together
constexpr int workers_of(int columns) { return columns / kThreadColumns * kKeyLanes; }  // threads that hold so many columns

// The type of elements is told apart at run time: only the loaders and the stores of y see it.
struct RecurrenceParams {
  DType type;
  const void *q, *k, *v, *a, *b;  // a, b: of the delta rule
  void* y;
  const float *log_decay, *value_scale, *skip;  // each may be null
  float* state;
  int64_t q_token, q_head, k_token, k_head, v_token, v_head, a_token, a_head, b_token, b_head, y_token, y_head;
  int64_t decay_token, decay_head, scale_token;
  // Mamba-2's form in place of decay and scale, and its gate; each may be null.
  const void *step, *gate;
  const float *step_bias, *step_rate;
  int64_t step_token, gate_token, gate_head;
  int64_t tokens;  // of a sequence; sequences follow each other, and so do their states
  int key_dim, value_dim, heads_per_group;
  bool decay_per_channel, read_before_write;
  bool vectorised_keys;    // all vectors over keys can be read four at a time
  bool vectorised_values;  // and rows of the state as well
};

// A few tokens' vectors in f32; keys beyond key_dim are zeros, so that they leave S at zero.
template <int kTokenCount, int kKeys, int kColumns, bool kDelta> struct alignas(16) Stage {
  static constexpr int kTokens = kTokenCount;
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

// Four keys from key j of a vector as they lie there, zeros beyond the last.
template <class T> __device__ inline Pack<T, kKeyGroup> read_keys(const RecurrenceParams& p, const void* base, int64_t offset, int j) {
  const T* from = static_cast<const T*>(base) + offset + j;
  if (p.vectorised_keys && j + kKeyGroup <= p.key_dim) return *reinterpret_cast<const Pack<T, kKeyGroup>*>(from);
  Pack<T, kKeyGroup> keys;
#pragma unroll
  for (int i = 0; i < kKeyGroup; ++i) keys.element[i] = j + i < p.key_dim ? from[i] : from_float<T>(0.0f);
  return keys;
}

// What the decays of four keys are made of.
template <class T> struct RawDecays {
  float log_decay[kKeyGroup];
  T step;

  __device__ void read(const RecurrenceParams& p, int64_t t, int64_t head, int j) {
    if (p.step) {
      step = static_cast<const T*>(p.step)[t * p.step_token + head];
    } else if (p.log_decay) {
      const float* from = p.log_decay + t * p.decay_token + head * p.decay_head;
#pragma unroll
      for (int i = 0; i < kKeyGroup; ++i) log_decay[i] = from[p.decay_per_channel ? min(j + i, p.key_dim - 1) : 0];
    }
  }
  // exp(log decay); zeros beyond the last key.
  __device__ void decays(const RecurrenceParams& p, float bias, float rate, int j, float (&w)[kKeyGroup]) const {
    const float shared_log = p.step ? evaluate(to_float(step) + bias, Function::kSoftplus) * rate : 0.0f;
#pragma unroll
    for (int i = 0; i < kKeyGroup; ++i) {
      const float log = p.step || !p.log_decay ? shared_log : log_decay[i];
      w[i] = j + i < p.key_dim ? expf(log) : 0.0f;
    }
  }
};

// The vectors of a few tokens on their way from memory to a stage, by kLoaders threads: read() asks for all of a thread's share and keeps
// it as it lies in memory, so that nothing waits before put() widens it into shared memory.
template <int kLoaders, class T, int kTokens, int kKeys, int kColumns, bool kDelta> struct Arriving {
  static constexpr int kGroups = kKeys / kKeyGroup, kItems = (kTokens * kGroups + kLoaders - 1) / kLoaders;
  static constexpr int kValues = (kTokens * kColumns + kLoaders - 1) / kLoaders;
  Pack<T, kKeyGroup> q[kItems], k[kItems], a[kDelta ? kItems : 1], b[kDelta ? kItems : 1];
  RawDecays<T> decays[kItems];
  T values[kValues], step;
  float scale;

  // `tokens` tokens from `first`, at least one; what is read of others is not put anywhere.
  __device__ void read(const RecurrenceParams& p, int64_t first, int tokens, int64_t head, int column, int thread) {
    const int64_t group = head / p.heads_per_group;
#pragma unroll
    for (int n = 0; n < kItems; ++n) {
      const int i = thread + n * kLoaders, j = i % kGroups * kKeyGroup;
      const int64_t t = first + min(i / kGroups, tokens - 1);
      q[n] = read_keys<T>(p, p.q, t * p.q_token + group * p.q_head, j);
      k[n] = read_keys<T>(p, p.k, t * p.k_token + group * p.k_head, j);
      if constexpr (kDelta) {
        a[n] = read_keys<T>(p, p.a, t * p.a_token + head * p.a_head, j);
        b[n] = read_keys<T>(p, p.b, t * p.b_token + head * p.b_head, j);
      }
      decays[n].read(p, t, head, j);
    }
    const T* v = static_cast<const T*>(p.v) + head * p.v_head;
#pragma unroll
    for (int n = 0; n < kValues; ++n) {
      const int i = thread + n * kLoaders;
      values[n] = v[(first + min(i / kColumns, tokens - 1)) * p.v_token + min(column + i % kColumns, p.value_dim - 1)];
    }
    const int64_t own = first + min(thread, tokens - 1);
    if (p.step) {
      step = static_cast<const T*>(p.step)[own * p.step_token + head];
    } else {
      scale = p.value_scale ? p.value_scale[own * p.scale_token + head] : 1.0f;
    }
  }

  __device__ void put(Stage<kTokens, kKeys, kColumns, kDelta>& stage, const RecurrenceParams& p, int tokens, int64_t head, int column,
                      int thread) const {
    const float bias = p.step ? p.step_bias[head] : 0.0f, rate = p.step ? p.step_rate[head] : 0.0f;
    if (thread < tokens) stage.scale[thread] = p.step ? evaluate(to_float(step) + bias, Function::kSoftplus) : scale;
#pragma unroll
    for (int n = 0; n < kItems; ++n) {
      const int i = thread + n * kLoaders, token = i / kGroups, j = i % kGroups * kKeyGroup;
      if (token >= tokens) break;
      float vector[kKeyGroup];
      const auto widen = [&](const Pack<T, kKeyGroup>& raw, float* to) {
#pragma unroll
        for (int c = 0; c < kKeyGroup; ++c) vector[c] = to_float(raw.element[c]);
        store(to, vector);
      };
      widen(q[n], &stage.q[token][j]);
      widen(k[n], &stage.k[token][j]);
      if constexpr (kDelta) {
        widen(a[n], &stage.a[token][j]);
        widen(b[n], &stage.b[token][j]);
      }
      decays[n].decays(p, bias, rate, j, vector);
      store(&stage.w[token][j], vector);
    }
#pragma unroll
    for (int n = 0; n < kValues; ++n) {
      const int i = thread + n * kLoaders, token = i / kColumns, c = i % kColumns;
      if (token >= tokens) break;
      stage.v[token][c] = column + c < p.value_dim ? to_float(values[n]) : 0.0f;
    }
  }
};

template <int kLoaders, int kTokens, int kKeys, int kColumns, bool kDelta>
__device__ void fill(Stage<kTokens, kKeys, kColumns, kDelta>& stage, const RecurrenceParams& p, int64_t first, int tokens, int64_t head,
                     int column, int thread) {
  with_element(p.type, [&](auto* tag) {
    Arriving<kLoaders, std::remove_pointer_t<decltype(tag)>, kTokens, kKeys, kColumns, kDelta> vectors;
    vectors.read(p, first, tokens, head, column, thread);
    vectors.put(stage, p, tokens, head, column, thread);
  });
}

// Every one of the eight lanes gets the sums of all four values.
__device__ inline void sum_over_keys(float (&v)[kThreadColumns]) {
#pragma unroll
  for (int offset = kKeyLanes / 2; offset > 0; offset /= 2) {
#pragma unroll
    for (int c = 0; c < kThreadColumns; ++c) v[c] += __shfl_xor_sync(0xffffffffu, v[c], offset);
  }
}

// The lanes' parts of what some tokens give. The pitch keeps the lanes' stores on different banks.
template <int kTokens, int kColumns> struct Parts {
  static constexpr int kPitch = kColumns + 8;
  float part[kTokens][kKeyLanes][kPitch];

  __device__ float sum(int token, int column) const {
    const auto& p = part[token];
    return ((p[0][column] + p[4][column]) + (p[2][column] + p[6][column])) +
           ((p[1][column] + p[5][column]) + (p[3][column] + p[7][column]));
  }
};

// The part of S that a thread holds: columns [column, column + 2) of the keys 32·i + 4·lane + j.
template <int kKeys> struct Cells {
  static constexpr int kGroups = kKeys / (kKeyLanes * kKeyGroup);
  float s[kGroups][kKeyGroup][kThreadColumns];

  // Calls move(pointer to the cells of a key, their registers, how many of the columns exist) for every key that exists.
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

// Asks for a head's state to come into the second-level cache, as may be done before the kernel before has ended: nothing is read.
__device__ inline void expect_state(const RecurrenceParams& p, int64_t head) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  const auto bytes = static_cast<uint32_t>(p.key_dim * p.value_dim) * static_cast<uint32_t>(sizeof(float));
  if (!p.vectorised_values || bytes % 16 != 0) return;
  const float* from = p.state + head * p.key_dim * p.value_dim;
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
#endif
}

// What a thread needs of a token, in registers.
template <int kKeys, bool kDelta> struct TokenVectors {
  static constexpr int kGroups = Cells<kKeys>::kGroups;
  float q[kGroups][kKeyGroup], k[kGroups][kKeyGroup], w[kGroups][kKeyGroup];
  float a[kDelta ? kGroups : 1][kKeyGroup], b[kDelta ? kGroups : 1][kKeyGroup];
  float value[kThreadColumns];

  template <int kTokens, int kColumns>
  __device__ void read(const Stage<kTokens, kKeys, kColumns, kDelta>& stage, int token, int column, int lane) {
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      const int key = (i * kKeyLanes + lane) * kKeyGroup;
      if constexpr (kDelta) load(&stage.a[token][key], a[i]);
      load(&stage.k[token][key], k[i]);
      load(&stage.w[token][key], w[i]);
      if constexpr (kDelta) load(&stage.b[token][key], b[i]);
      load(&stage.q[token][key], q[i]);
    }
    load(&stage.v[token][column], value);
    const float scale = stage.scale[token];
#pragma unroll
    for (int c = 0; c < kThreadColumns; ++c) value[c] *= scale;
  }
};

// One token: S is replaced, and this lane's part of y, without the skip, given in `result`.
template <bool kReadBefore, int kKeys, bool kDelta>
__device__ inline void advance(Cells<kKeys>& cells, const TokenVectors<kKeys, kDelta>& t, float (&result)[kThreadColumns]) {
  using C = Cells<kKeys>;
  float erased[kThreadColumns] = {};
  if constexpr (kDelta) {
#pragma unroll
    for (int i = 0; i < C::kGroups; ++i) {
#pragma unroll
      for (int j = 0; j < kKeyGroup; ++j) {
#pragma unroll
        for (int c = 0; c < kThreadColumns; ++c) erased[c] = fmaf(cells.s[i][j][c], t.a[i][j], erased[c]);
      }
    }
    sum_over_keys(erased);
  }
#pragma unroll
  for (int c = 0; c < kThreadColumns; ++c) result[c] = 0;
#pragma unroll
  for (int i = 0; i < C::kGroups; ++i) {
#pragma unroll
    for (int j = 0; j < kKeyGroup; ++j) {
#pragma unroll
      for (int c = 0; c < kThreadColumns; ++c) {
        float& s = cells.s[i][j][c];
        if constexpr (kReadBefore) result[c] = fmaf(s, t.q[i][j], result[c]);
        s = fmaf(s, t.w[i][j], t.value[c] * t.k[i][j]);
        if constexpr (kDelta) s = fmaf(-erased[c], t.b[i][j], s);
        if constexpr (!kReadBefore) result[c] = fmaf(s, t.q[i][j], result[c]);
      }
    }
  }
}

// The `tokens` tokens of a stage, one after the other. Reading the next one's vectors meanwhile costs more moves than it saves waiting.
template <bool kReadBefore, int kTokens, int kKeys, int kColumns, bool kDelta>
__device__ inline void advance_all(Cells<kKeys>& cells, const Stage<kTokens, kKeys, kColumns, kDelta>& stage, int tokens, int column,
                                   int lane, Parts<kTokens, kColumns>& parts) {
#pragma unroll 2
  for (int token = 0; token < tokens; ++token) {
    TokenVectors<kKeys, kDelta> vectors;
    float result[kThreadColumns];
    vectors.read(stage, token, column, lane);
    advance<kReadBefore>(cells, vectors, result);
    store(&parts.part[token][lane][column], result);
  }
}

inline bool heads_have_vectors(const Tensor& t) {
  const int64_t size = bytes_of(t.dtype());
  return !t.defined() || (reinterpret_cast<uintptr_t>(t.raw()) % static_cast<uintptr_t>(kKeyGroup * size) == 0 &&
                          t.stride(0) % kKeyGroup == 0 && t.stride(1) % kKeyGroup == 0);
}

inline RecurrenceParams recurrence_params(const Tensor& q, const Tensor& k, const Tensor& v, const RecurrenceArgs& args,
                                          const Tensor& state, const Tensor& y) {
  auto p = recurrence_layout<RecurrenceParams>(q, k, v, args, state, y);
  p.type = q.dtype();
  p.vectorised_keys = heads_have_vectors(q) && heads_have_vectors(k) && heads_have_vectors(args.a) && heads_have_vectors(args.b);
  p.vectorised_values = v.dim(2) % kThreadColumns == 0 && is_aligned(state.raw(), 0);
  return p;
}

inline RecurrenceParams mamba2_params(const Mamba2Heads& in, const Tensor& state, const Tensor& y) {
  RecurrenceParams p = recurrence_params(in.q, in.k, in.v, {.skip = in.skip}, state, y);
  p.step = in.step.raw(), p.step_token = in.step.row_pitch();
  p.step_bias = floats(in.step_bias), p.step_rate = floats(in.rate);
  p.gate = in.gate.raw(), p.gate_token = in.gate.stride(0), p.gate_head = in.gate.stride(1);
  return p;
}

}  // namespace linea::cuda
