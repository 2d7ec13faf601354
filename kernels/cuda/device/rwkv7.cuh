// kernels/cuda/device/rwkv7.cuh: a head of a token of RWKV-7 before its memory takes it and after its memory gave: rwkv7_inputs and
// rwkv7_outputs of ops.h as operations on groups (groups.cuh), with their parameters from the tensors, and both for one warp that keeps
// the head in registers.
#pragma once

#include "kernels/cuda/device/recurrence.cuh"
#include "kernels/cuda/groups.cuh"
#include "kernels/recurrence_layout.h"

namespace linea::cuda {

template <class T> __device__ inline float rounded(float v) { return to_float(from_float<T>(v)); }

// What rwkv7_inputs does to kWidth channels; rate holds what replaces it afterwards.
template <class T, int kWidth>
__device__ inline void change_keys(float (&keys)[kWidth], float (&rate)[kWidth], float (&direction)[kWidth], const float (&k_k)[kWidth],
                                   const float (&k_a)[kWidth], float factor) {
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    direction[j] = rounded<T>(keys[j] * k_k[j] * factor);
    keys[j] = rounded<T>(fmaf(rounded<T>(keys[j] * rate[j]) - keys[j], k_a[j], keys[j]));
    rate[j] = rounded<T>(rate[j] * direction[j]);
  }
}

template <int kWidth> __device__ inline float squares_of(const float (&keys)[kWidth], const float (&k_k)[kWidth], float squares) {
#pragma unroll
  for (int j = 0; j < kWidth; ++j) squares = fmaf(keys[j] * k_k[j], keys[j] * k_k[j], squares);
  return squares;
}
__device__ inline float direction_factor(float squares) { return 1.0f / fmaxf(sqrtf(squares), 1e-12f); }

constexpr float kDecayScale = -0.6065306597126334f;  // -e^-½

template <class T> struct Rwkv7InputsOp {
  T *k, *v, *rate, *kk;
  float* decay;
  const T *v_first, *share;  // both may be null
  const float *k_k, *k_a;
  int64_t k_pitch, v_pitch, rate_pitch, kk_pitch, decay_pitch, v_first_pitch, share_pitch;
  int64_t count;
  int groups, size;

  template <int kWidth, int kThreads> __device__ void apply(int64_t row, int first, float* shared) const {
    float keys[kWidth], weights[kWidth], squares = 0;
    for_own_channels<kWidth, kThreads>(size, [&](int i) {
      load(k + row * k_pitch + first + i, keys);
      load(k_k + first + i, weights);
      squares = squares_of(keys, weights, squares);
    });
    const float factor = direction_factor(sum_group<kThreads>(squares, shared));
    for_own_channels<kWidth, kThreads>(size, [&](int i) {
      const int c = first + i;
      change_keys<kWidth>(row, c, factor);
      change_values<kWidth>(row, c);
      float d[kWidth];
      load(decay + row * decay_pitch + c, d);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) d[j] *= kDecayScale;
      store(decay + row * decay_pitch + c, d);
    });
  }

  template <int kWidth> __device__ void change_keys(int64_t row, int c, float factor) const {
    float keys[kWidth], a[kWidth], for_direction[kWidth], for_rate[kWidth], direction[kWidth];
    load(k + row * k_pitch + c, keys);
    load(rate + row * rate_pitch + c, a);
    load(k_k + c, for_direction);
    load(k_a + c, for_rate);
    cuda::change_keys<T>(keys, a, direction, for_direction, for_rate, factor);
    store(kk + row * kk_pitch + c, direction);
    store(k + row * k_pitch + c, keys);
    store(rate + row * rate_pitch + c, a);
  }

  template <int kWidth> __device__ void change_values(int64_t row, int c) const {
    if (!share) return;
    float values[kWidth], other[kWidth], s[kWidth];
    load(v + row * v_pitch + c, values);
    load(v_first + row * v_first_pitch + c, other);
    load(share + row * share_pitch + c, s);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) values[j] = fmaf(other[j] - values[j], s[j], values[j]);
    store(v + row * v_pitch + c, values);
  }
};

template <class T> struct Rwkv7OutputsOp {
  const T *q, *k, *v, *g;
  T* y;
  const float *u, *w, *bias;
  int64_t q_pitch, k_pitch, v_pitch, g_pitch, y_pitch;
  int64_t count;
  int groups, size;
  float eps;

  template <int kWidth, int kThreads> __device__ void apply(int64_t row, int first, float* shared) const {
    const T *queries = q + row * q_pitch + first, *keys = k + row * k_pitch + first, *values = v + row * v_pitch + first;
    T* to = y + row * y_pitch + first;
    float a[kWidth], b[kWidth], c[kWidth], sum = 0, score = 0, squares = 0;
    for_own_channels<kWidth, kThreads>(size, [&](int i) {
      load(to + i, a);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sum += a[j];
      load(queries + i, a);
      load(keys + i, b);
      load(u + first + i, c);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) score = fmaf(a[j] * b[j], c[j], score);
    });
    const float mean = sum_group<kThreads>(sum, shared) / static_cast<float>(size);
    score = sum_group<kThreads>(score, shared);
    for_own_channels<kWidth, kThreads>(size, [&](int i) {
      load(to + i, a);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) squares = fmaf(a[j] - mean, a[j] - mean, squares);
    });
    const float factor = 1.0f / sqrtf(sum_group<kThreads>(squares, shared) / static_cast<float>(size) + eps);
    for_own_channels<kWidth, kThreads>(size, [&](int i) {
      load(to + i, a);
      load(w + first + i, b);
      load(bias + first + i, c);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) a[j] = fmaf((a[j] - mean) * factor, b[j], c[j]);
      load(values + i, b);
      load(g + row * g_pitch + first + i, c);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) a[j] = fmaf(b[j], score, a[j]) * c[j];
      store(to + i, a);
    });
  }
};

// Two channels of a head's vectors, a lane of one warp having those of its own: from the projections to what the memory takes, and from
// what it gives to the output. Every value is rounded where rwkv7_inputs, linear_recurrence and rwkv7_outputs store it.
template <class T> struct HeadStep {
  float k_k[2], k_a[2], u[2], norm_w[2], norm_bias[2];
  float q[2], k[2], v[2], g[2], rate[2], decay[2], first[2], share[2];

  __device__ void read_weights(const Rwkv7InputsOp<T>& in, const Rwkv7OutputsOp<T>& out, int c) {
    load(in.k_k + c, k_k);
    load(in.k_a + c, k_a);
    load(out.u + c, u);
    load(out.w + c, norm_w);
    load(out.bias + c, norm_bias);
  }

  __device__ void read(const Rwkv7InputsOp<T>& in, const Rwkv7OutputsOp<T>& out, int64_t row, int c) {
    read_wide(in, out, row, c);
    load(in.rate + row * in.rate_pitch + c, rate);
    load(in.decay + row * in.decay_pitch + c, decay);
    if (in.share) load(in.share + row * in.share_pitch + c, share);
    load(out.g + row * out.g_pitch + c, g);
  }
  // What does not come through low-rank products.
  __device__ void read_wide(const Rwkv7InputsOp<T>& in, const Rwkv7OutputsOp<T>& out, int64_t row, int c) {
    load(in.k + row * in.k_pitch + c, k);
    load(in.v + row * in.v_pitch + c, v);
    if (in.share) load(in.v_first + row * in.v_first_pitch + c, first);
    load(out.q + row * out.q_pitch + c, q);
  }

  // `keeps`: what replaces the inputs is stored too.
  template <class Stage> __device__ void enter(const Rwkv7InputsOp<T>& in, int64_t row, int c, Stage& stage, bool keeps) {
    float direction[2];
    const float factor = direction_factor(sum_lanes(squares_of(k, k_k, 0.0f)));
    change_keys<T>(k, rate, direction, k_k, k_a, factor);
    const int i = static_cast<int>(threadIdx.x) * 2;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      if (in.share) v[j] = rounded<T>(fmaf(first[j] - v[j], share[j], v[j]));
      decay[j] *= kDecayScale;
      stage.w[0][i + j] = expf(decay[j]);
    }
    store(&stage.q[0][i], q);
    store(&stage.k[0][i], k);
    store(&stage.a[0][i], direction);
    store(&stage.b[0][i], rate);
    store(&stage.v[0][i], v);
    if (threadIdx.x == 0) stage.scale[0] = 1.0f;
    if (!keeps) return;
    store(in.k + row * in.k_pitch + c, k);
    store(in.kk + row * in.kk_pitch + c, direction);
    store(in.rate + row * in.rate_pitch + c, rate);
    store(in.decay + row * in.decay_pitch + c, decay);
    if (in.share) store(in.v + row * in.v_pitch + c, v);
  }

  // y becomes what is stored.
  __device__ void leave(const Rwkv7OutputsOp<T>& out, float (&y)[2]) const {
    constexpr float kChannels = 64;
    float sum = 0, score = 0, squares = 0;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      y[j] = rounded<T>(y[j]);
      sum += y[j];
      score = fmaf(q[j] * k[j], u[j], score);
    }
    const float mean = sum_lanes(sum) / kChannels;
    score = sum_lanes(score);
#pragma unroll
    for (int j = 0; j < 2; ++j) squares = fmaf(y[j] - mean, y[j] - mean, squares);
    const float factor = 1.0f / sqrtf(sum_lanes(squares) / kChannels + out.eps);
#pragma unroll
    for (int j = 0; j < 2; ++j) y[j] = fmaf(v[j], score, fmaf((y[j] - mean) * factor, norm_w[j], norm_bias[j])) * g[j];
  }
};

template <class T> Rwkv7InputsOp<T> inputs_op(const Rwkv7Inputs& in) {
  return {.k = pointer<T>(in.k),
          .v = pointer<T>(in.v),
          .rate = pointer<T>(in.rate),
          .kk = pointer<T>(in.kk),
          .decay = in.decay.data<float>(),
          .v_first = pointer<T>(in.v_first),
          .share = pointer<T>(in.share),
          .k_k = floats(in.k_k),
          .k_a = floats(in.k_a),
          .k_pitch = in.k.row_pitch(),
          .v_pitch = in.v.row_pitch(),
          .rate_pitch = in.rate.row_pitch(),
          .kk_pitch = in.kk.row_pitch(),
          .decay_pitch = in.decay.row_pitch(),
          .v_first_pitch = pitch_of(in.v_first),
          .share_pitch = pitch_of(in.share),
          .count = in.k.rows() * in.heads,
          .groups = static_cast<int>(in.heads),
          .size = static_cast<int>(in.k.dim(1) / in.heads)};
}

inline bool has_vectors(const Rwkv7Inputs& in) {
  return has_vectors(in.k.dim(1) / in.heads, {&in.k, &in.v, &in.rate, &in.kk, &in.decay, &in.v_first, &in.share, &in.k_k, &in.k_a});
}

template <class T> Rwkv7OutputsOp<T> outputs_op(const Rwkv7Outputs& args, const Tensor& y) {
  return {.q = pointer<T>(args.q),
          .k = pointer<T>(args.k),
          .v = pointer<T>(args.v),
          .g = pointer<T>(args.g),
          .y = pointer<T>(y),
          .u = floats(args.u),
          .w = floats(args.w),
          .bias = floats(args.bias),
          .q_pitch = args.q.row_pitch(),
          .k_pitch = args.k.row_pitch(),
          .v_pitch = args.v.row_pitch(),
          .g_pitch = args.g.row_pitch(),
          .y_pitch = y.row_pitch(),
          .count = y.rows() * args.u.dim(0),
          .groups = static_cast<int>(args.u.dim(0)),
          .size = static_cast<int>(args.u.dim(1)),
          .eps = args.eps};
}

inline bool has_vectors(const Rwkv7Outputs& args, const Tensor& y) {
  return has_vectors(args.u.dim(1), {&args.q, &args.k, &args.v, &args.g, &args.u, &args.w, &args.bias, &y});
}

// The recurrence between both, one token of each sequence.
inline RecurrenceParams head_params(const Rwkv7Inputs& in, const Rwkv7Outputs& out, const Tensor& state, const Tensor& y) {
  const int64_t T = y.dim(0), H = in.heads, N = y.dim(1) / H;
  const auto heads = [&](const Tensor& t) { return t.reshape({T, H, N}); };
  auto p = recurrence_layout<RecurrenceParams>(heads(out.q), heads(in.k), heads(in.v),
                                               {.log_decay = heads(in.decay), .a = heads(in.kk), .b = heads(in.rate)}, state, heads(y));
  p.type = y.dtype();
  p.tokens = 1;
  p.vectorised_keys = heads_have_vectors(heads(out.q)) && heads_have_vectors(heads(in.k)) && heads_have_vectors(heads(in.kk)) &&
                      heads_have_vectors(heads(in.rate));
  p.vectorised_values = N % kThreadColumns == 0 && is_aligned(state.raw(), 0);
  return p;
}

}  // namespace linea::cuda
