// kernels/cuda/recurrent_rows.cu: what recurrent models do to rows of channels: mixes, functions, norms of groups and heads.
//
// Maths    as kernels/ops.h states it; softplus is max(x, 0) + log1p(exp(-|x|)), which holds far out on both sides.
// Shape    RWKV-7 7.2B: rows of 4096 in 64 heads, one row a decode step, 4096 rows a prefill; Mamba-2 2.7B: rows of 5120 and 2560.
// Tiles    mixes and functions: a thread takes 8 neighbouring channels. Norms: a warp takes a group, or a block where a group is wide, so
//          that a single row of 4096 is not left to 32 threads.
// Traffic  every byte is read and written once; norms find their row in the first-level cache on the later passes.
// Roofline bound by memory for prefill (a mix of 4096 rows of 4096 in 16 bits moves 100 MB, 34 µs at 2.98 TB/s), by launches for decode.
// Accuracy f32 between load and store; sums in one fixed order that depends on the group's width alone.
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/functions.cuh"
#include "kernels/cuda/groups.cuh"
#include "kernels/cuda/step_program.h"

namespace linea {

namespace cuda {
namespace {

template <class X, class Y> struct ElementwiseRows {
  const X* x;
  const Y* residual;
  Y* y;
  const float *bias, *scale;
  int64_t x_pitch, residual_pitch, y_pitch;
  Function function;

  template <int kWidth> __device__ void apply(int64_t row, int64_t i) const {
    float v[kWidth], other[kWidth];
    load(x + row * x_pitch + i, v);
    if (bias) {
      load(bias + i, other);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) v[j] += other[j];
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] = evaluate(v[j], function);
    if (scale) {
      load(scale + i, other);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) v[j] *= other[j];
    }
    if (residual) {
      load(residual + row * residual_pitch + i, other);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) v[j] += other[j];
    }
    store(y + row * y_pitch + i, v);
  }
};

template <class T, class M> struct Lerp {
  const T *a, *b;
  const M* m;
  T* y;
  int64_t a_pitch, b_pitch, m_pitch, y_pitch;  // m_pitch 0: one row of m for all

  template <int kWidth> __device__ void apply(int64_t row, int64_t i) const {
    float from[kWidth], to[kWidth], share[kWidth];
    load(a + row * a_pitch + i, from);
    load(b + row * b_pitch + i, to);
    load(m + row * m_pitch + i, share);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) from[j] = fmaf(to[j] - from[j], share[j], from[j]);
    store(y + row * y_pitch + i, from);
  }
};

template <class X, class Y> struct GroupNorm {
  const X* x;
  Y* y;
  const float *w, *bias;  // bias may be null
  int64_t x_pitch, y_pitch;
  int64_t count;  // groups of all rows
  int groups, size;
  float eps;
  bool centre;

  template <int kWidth, int kThreads> __device__ void apply(int64_t row, int first, float* shared) const {
    const X* from = x + row * x_pitch + first;
    Y* to = y + row * y_pitch + first;
    const float *weights = w + first, *offsets = bias ? bias + first : nullptr;
    float v[kWidth], a[kWidth];
    float mean = 0;
    if (centre) {
      float sum = 0;
      for_own_channels<kWidth, kThreads>(size, [&](int i) {
        load(from + i, v);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) sum += v[j];
      });
      mean = sum_group<kThreads>(sum, shared) / static_cast<float>(size);
    }
    float squares = 0;
    for_own_channels<kWidth, kThreads>(size, [&](int i) {
      load(from + i, v);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) squares = fmaf(v[j] - mean, v[j] - mean, squares);
    });
    const float factor = 1.0f / sqrtf(sum_group<kThreads>(squares, shared) / static_cast<float>(size) + eps);
    for_own_channels<kWidth, kThreads>(size, [&](int i) {
      load(from + i, v);
      load(weights + i, a);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) v[j] = (v[j] - mean) * factor * a[j];
      if (offsets) {
        load(offsets + i, a);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) v[j] += a[j];
      }
      store(to + i, v);
    });
  }
};

template <class T> struct NormalizeHeads {
  const T* x;
  T* y;
  const float* w;
  int64_t x_pitch, y_pitch;
  int64_t count;
  int groups, size;
  float eps;

  template <int kWidth, int kThreads> __device__ void apply(int64_t row, int first, float* shared) const {
    const T* from = x + row * x_pitch + first;
    T* to = y + row * y_pitch + first;
    const float* weights = w + first;
    float v[kWidth], a[kWidth];
    float squares = 0;
    for_own_channels<kWidth, kThreads>(size, [&](int i) {
      load(from + i, v);
      load(weights + i, a);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) squares = fmaf(v[j] * a[j], v[j] * a[j], squares);
    });
    const float factor = 1.0f / fmaxf(sqrtf(sum_group<kThreads>(squares, shared)), eps);
    for_own_channels<kWidth, kThreads>(size, [&](int i) {
      load(from + i, v);
      load(weights + i, a);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) v[j] = v[j] * a[j] * factor;
      store(to + i, v);
    });
  }
};

template <class T> struct AddBonus {
  const T *q, *k, *v;
  T* y;
  const float* u;
  int64_t q_pitch, k_pitch, v_pitch, y_pitch;
  int64_t count;
  int groups, size;

  template <int kWidth, int kThreads> __device__ void apply(int64_t row, int first, float* shared) const {
    const T *queries = q + row * q_pitch + first, *keys = k + row * k_pitch + first, *values = v + row * v_pitch + first;
    T* to = y + row * y_pitch + first;
    const float* weights = u + first;
    float a[kWidth], b[kWidth], c[kWidth];
    float sum = 0;
    for_own_channels<kWidth, kThreads>(size, [&](int i) {
      load(queries + i, a);
      load(keys + i, b);
      load(weights + i, c);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sum = fmaf(a[j] * b[j], c[j], sum);
    });
    const float score = sum_group<kThreads>(sum, shared);
    for_own_channels<kWidth, kThreads>(size, [&](int i) {
      load(to + i, a);
      load(values + i, b);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) a[j] = fmaf(b[j], score, a[j]);
      store(to + i, a);
    });
  }
};

template <class F> void with_types(const Tensor& x, const Tensor& y, const char* op, F&& f) {
  with_type(x.dtype(), op, [&](auto x_tag) { with_type(y.dtype(), op, [&](auto y_tag) { f(x_tag, y_tag); }); });
}

}  // namespace
}  // namespace cuda

using namespace cuda;

void CudaBackend::lerp(Context&, const Tensor& a, const Tensor& b, const Tensor& m, const Tensor& y) {
  const char* op = "lerp";
  const cudaStream_t stream = enter();
  const bool one_row = m.rank() == 1;
  with_types(y, m, op, [&](auto tag, auto m_tag) {
    using T = typename decltype(tag)::type;
    using M = typename decltype(m_tag)::type;
    if constexpr (std::is_same_v<M, float> || std::is_same_v<M, T>) {
      const Lerp<T, M> lerp = {
          pointer<T>(a), pointer<T>(b), pointer<M>(m), pointer<T>(y), a.row_pitch(), b.row_pitch(), one_row ? 0 : m.row_pitch(),
          y.row_pitch()};
      map_rows(op, stream, lerp, y.rows(), y.dim(-1), has_vectors(y.dim(-1), {&a, &b, &m, &y}));
    }
  });
}

void CudaBackend::elementwise(Context&, const Tensor& x, const Tensor& y, const ElementwiseArgs& args) {
  const char* op = "elementwise";
  const cudaStream_t stream = enter();
  with_types(x, y, op, [&](auto x_tag, auto y_tag) {
    using X = typename decltype(x_tag)::type;
    using Y = typename decltype(y_tag)::type;
    const ElementwiseRows<X, Y> rows = {.x = pointer<X>(x),
                                        .residual = pointer<Y>(args.residual),
                                        .y = pointer<Y>(y),
                                        .bias = floats(args.bias),
                                        .scale = floats(args.scale),
                                        .x_pitch = x.row_pitch(),
                                        .residual_pitch = pitch_of(args.residual),
                                        .y_pitch = y.row_pitch(),
                                        .function = args.function};
    map_rows(op, stream, rows, y.rows(), y.dim(-1), has_vectors(y.dim(-1), {&x, &y, &args.residual, &args.bias, &args.scale}));
  });
}

void CudaBackend::group_norm(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, const GroupNormArgs& args) {
  const char* op = "group_norm";
  if (StepRecorder* recorder = StepRecorder::of(device_.index)) {
    if (recorder->norm(x, w, y, args, [=, this, &ctx] { group_norm(ctx, x, w, y, args); })) return;
  }
  const cudaStream_t stream = enter();
  const int64_t size = x.dim(-1) / args.groups;
  with_types(x, y, op, [&](auto x_tag, auto y_tag) {
    using X = typename decltype(x_tag)::type;
    using Y = typename decltype(y_tag)::type;
    const GroupNorm<X, Y> norm = {.x = pointer<X>(x),
                                  .y = pointer<Y>(y),
                                  .w = floats(w),
                                  .bias = floats(args.bias),
                                  .x_pitch = x.row_pitch(),
                                  .y_pitch = y.row_pitch(),
                                  .count = x.rows() * args.groups,
                                  .groups = static_cast<int>(args.groups),
                                  .size = static_cast<int>(size),
                                  .eps = args.eps,
                                  .centre = args.centre};
    map_groups(op, stream, norm, has_vectors(size, {&x, &y, &w, &args.bias}));
  });
}

void CudaBackend::normalize_heads(Context&, const Tensor& x, const Tensor& w, const Tensor& y, int64_t heads, float eps) {
  const char* op = "normalize_heads";
  const cudaStream_t stream = enter();
  const int64_t size = x.dim(-1) / heads;
  with_type(y.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const NormalizeHeads<T> norm = {.x = pointer<T>(x),
                                    .y = pointer<T>(y),
                                    .w = floats(w),
                                    .x_pitch = x.row_pitch(),
                                    .y_pitch = y.row_pitch(),
                                    .count = x.rows() * heads,
                                    .groups = static_cast<int>(heads),
                                    .size = static_cast<int>(size),
                                    .eps = eps};
    map_groups(op, stream, norm, has_vectors(size, {&x, &y, &w}));
  });
}

void CudaBackend::add_bonus(Context&, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& u, const Tensor& y) {
  const char* op = "add_bonus";
  const cudaStream_t stream = enter();
  const int64_t heads = u.dim(0), size = u.dim(1);
  with_type(y.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const AddBonus<T> bonus = {.q = pointer<T>(q),
                               .k = pointer<T>(k),
                               .v = pointer<T>(v),
                               .y = pointer<T>(y),
                               .u = floats(u),
                               .q_pitch = q.row_pitch(),
                               .k_pitch = k.row_pitch(),
                               .v_pitch = v.row_pitch(),
                               .y_pitch = y.row_pitch(),
                               .count = y.rows() * heads,
                               .groups = static_cast<int>(heads),
                               .size = static_cast<int>(size)};
    map_groups(op, stream, bonus, has_vectors(size, {&q, &k, &v, &u, &y}));
  });
}

}  // namespace linea
