// kernels/cuda/rows.cu: elementwise kernels over rows of channels.
//
// Maths    y = residual + gate ⊙ act(x + bias), and its relatives; embedding rows; rotary pairs.
// Shape    SANA-1.6B at 1024²: 2048 rows of 2240 (projections) and of 11200 (the feed-forward's first product).
// Tiles    a thread takes 8 neighbouring channels of a row (one, where the layout is not aligned); nothing is kept between rows.
// Traffic  every byte is read and written once: the widest epilogue moves 2 · 2048 · 11200 · 2 B = 92 MB.
// Roofline bound by memory: 31 µs at 2.98 TB/s for that one.
// Accuracy f32 between load and store, one rounding.
#include "kernels/cuda/rows.h"

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/math.cuh"

namespace linea {

namespace cuda {
namespace {

template <class X, class Y> struct FinishRows {
  const X* x;
  const Y* residual;
  Y* y;
  const float *bias, *gate;
  int64_t x_pitch, residual_pitch, y_pitch, gate_pitch;
  uint32_t rows_per_gate;
  Activation activation;

  template <int kWidth> __device__ void apply(int64_t row, int64_t i) const {
    float v[kWidth], other[kWidth];
    load(x + row * x_pitch + i, v);
    if (bias) {
      load(bias + i, other);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) v[j] += other[j];
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] = cuda::activate(v[j], activation);
    if (gate) {
      load(gate + static_cast<uint32_t>(row) / rows_per_gate * gate_pitch + i, other);
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

template <class T> struct MultiplyActivated {
  const T *gate, *up;
  T* y;
  int64_t gate_pitch, up_pitch, y_pitch;
  Activation activation;

  template <int kWidth> __device__ void apply(int64_t row, int64_t i) const {
    float a[kWidth], b[kWidth];
    load(gate + row * gate_pitch + i, a);
    load(up + row * up_pitch + i, b);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) a[j] = cuda::activate(a[j], activation) * b[j];
    store(y + row * y_pitch + i, a);
  }
};

template <class T, class B> struct Add {
  const T* a;
  const B* b;
  T* y;
  int64_t a_pitch, b_pitch, y_pitch;
  uint32_t b_rows;  // row r takes row r mod b_rows of b

  template <int kWidth> __device__ void apply(int64_t row, int64_t i) const {
    float u[kWidth], v[kWidth];
    load(a + row * a_pitch + i, u);
    load(b + static_cast<uint32_t>(row) % b_rows * b_pitch + i, v);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) u[j] += v[j];
    store(y + row * y_pitch + i, u);
  }
};

struct Combine {
  const float* x[4];
  float coefficient[4];
  int terms;
  float* y;
  int64_t pitch;

  template <int kWidth> __device__ void apply(int64_t row, int64_t i) const {
    float sum[kWidth], v[kWidth];
    load(x[0] + row * pitch + i, sum);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum[j] *= coefficient[0];
#pragma unroll
    for (int t = 1; t < 4; ++t) {
      if (t >= terms) break;
      load(x[t] + row * pitch + i, v);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sum[j] += v[j] * coefficient[t];
    }
    store(y + row * pitch + i, sum);
  }
};

// Ids travel with the launch, a group at a time, so that nothing has to be kept alive for them.
constexpr int64_t kIdsPerLaunch = 512;

template <class From, class T> struct Embedding {
  const From* table;
  T* y;
  int64_t y_pitch, dim;
  float scale;
  int32_t ids[kIdsPerLaunch];

  template <int kWidth> __device__ void apply(int64_t row, int64_t i) const {
    float v[kWidth];
    load(table + ids[row] * dim + i, v);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] *= scale;
    store(y + row * y_pitch + i, v);
  }
};

template <class T> struct RotaryParams {
  T* x;
  int64_t token_stride, head_stride, first_position;
  int tokens, heads, half;
  double theta;
};

// A thread turns one pair of channels of a token in all heads. Angles are computed in f64: a position of 10⁵ has f32 rounding of 0.004.
template <class T> __global__ void rotary_kernel(RotaryParams<T> p) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= static_cast<int64_t>(p.tokens) * p.half) return;
  const int64_t token = index / p.half, i = index % p.half;
  const double angle = static_cast<double>(p.first_position + token) * pow(p.theta, -static_cast<double>(i) / p.half);
  double sine, cosine;
  sincos(angle, &sine, &cosine);
  const float s = static_cast<float>(sine), c = static_cast<float>(cosine);
  for (int h = 0; h < p.heads; ++h) {
    T* low = p.x + token * p.token_stride + h * p.head_stride + i;
    T* high = low + p.half;
    const float a = to_float(*low), b = to_float(*high);
    *low = from_float<T>(a * c - b * s);
    *high = from_float<T>(b * c + a * s);
  }
}

template <class B>
void add_tensors(const char* op, cudaStream_t stream, const Tensor& a, const Tensor& b, int64_t b_pitch, int64_t b_rows, const Tensor& y,
                 bool vectorised) {
  with_type(y.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using Other = std::conditional_t<std::is_void_v<B>, T, B>;
    const Add<T, Other> add = {
        pointer<T>(a), pointer<Other>(b), pointer<T>(y), a.row_pitch(), b_pitch, y.row_pitch(), static_cast<uint32_t>(b_rows)};
    map_rows(op, stream, add, y.rows(), y.dim(-1), vectorised);
  });
}

}  // namespace

void finish_rows(const char* op, cudaStream_t stream, const Tensor& x, const Tensor& y, const LinearArgs& args) {
  with_type(x.dtype(), op, [&](auto x_tag) {
    with_type(y.dtype(), op, [&](auto y_tag) {
      using X = typename decltype(x_tag)::type;
      using Y = typename decltype(y_tag)::type;
      const int64_t members = args.gate.defined() ? args.gate.dim(0) : 1;
      const FinishRows<X, Y> finish = {.x = pointer<X>(x),
                                       .residual = pointer<Y>(args.residual),
                                       .y = pointer<Y>(y),
                                       .bias = floats(args.bias),
                                       .gate = floats(args.gate),
                                       .x_pitch = x.row_pitch(),
                                       .residual_pitch = pitch_of(args.residual),
                                       .y_pitch = y.row_pitch(),
                                       .gate_pitch = pitch_of(args.gate),
                                       .rows_per_gate = static_cast<uint32_t>(std::max<int64_t>(y.rows() / members, 1)),
                                       .activation = args.activation};
      map_rows(op, stream, finish, y.rows(), y.dim(-1), has_vectors(y.dim(-1), {&x, &y, &args.residual, &args.bias, &args.gate}));
    });
  });
}

}  // namespace cuda

using namespace cuda;

void CudaBackend::activate(Context&, const Tensor& x, const Tensor& y, Activation activation) {
  finish_rows("activate", enter(), x, y, {.activation = activation});
}

void CudaBackend::cast(Context&, const Tensor& x, const Tensor& y) { finish_rows("cast", enter(), x, y, {}); }

void CudaBackend::multiply_activated(Context&, const Tensor& gate, const Tensor& up, const Tensor& y, Activation activation) {
  const char* op = "multiply_activated";
  const cudaStream_t stream = enter();
  with_type(y.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const MultiplyActivated<T> multiply = {pointer<T>(gate), pointer<T>(up), pointer<T>(y), gate.row_pitch(),
                                           up.row_pitch(),   y.row_pitch(),  activation};
    map_rows(op, stream, multiply, y.rows(), y.dim(-1), has_vectors(y.dim(-1), {&gate, &up, &y}));
  });
}

void CudaBackend::add(Context&, const Tensor& a, const Tensor& b, const Tensor& y) {
  add_tensors<void>("add", enter(), a, b, b.row_pitch(), y.rows(), y, has_vectors(y.dim(-1), {&a, &b, &y}));
}

void CudaBackend::add_rows(Context&, const Tensor& x, const Tensor& rows, const Tensor& y) {
  const int64_t dim = y.dim(-1);
  const bool vectorised = has_vectors(dim, {&x, &y}) && is_aligned(rows.raw(), dim * bytes_of(DType::kF32));
  add_tensors<float>("add_rows", enter(), x, rows, dim, y.dim(1), y, vectorised);
}

void CudaBackend::linear_combination(Context&, std::span<const Term> terms, const Tensor& y) {
  constexpr int64_t kRow = 1024;  // the tensors are contiguous: any division into rows will do, and the rest is a row of its own
  const auto combine = [&](int64_t first, int64_t rows, int64_t dim) {
    Combine op = {};
    for (const Term& term : terms) {
      op.x[op.terms] = floats(term.x) + first;
      op.coefficient[op.terms++] = term.coefficient;
    }
    op.y = y.data<float>() + first;
    op.pitch = dim;
    const bool vectorised = dim % kVector == 0 && is_aligned(op.y, 0) &&
                            std::all_of(terms.begin(), terms.end(), [](const Term& term) { return is_aligned(term.x.raw(), 0); });
    map_rows("linear_combination", enter(), op, rows, dim, vectorised);
  };
  const int64_t rows = y.elements() / kRow;
  combine(0, rows, kRow);
  combine(rows * kRow, 1, y.elements() - rows * kRow);
}

void CudaBackend::embedding_lookup(Context&, const Tensor& table, std::span<const int32_t> ids, const Tensor& y, float scale) {
  const char* op = "embedding_lookup";
  const cudaStream_t stream = enter();
  with_type(table.dtype(), op, [&](auto from_tag) {
    with_type(y.dtype(), op, [&](auto tag) {
      using From = typename decltype(from_tag)::type;
      using T = typename decltype(tag)::type;
      const int64_t count = static_cast<int64_t>(ids.size());
      for (int64_t first = 0; first < count; first += kIdsPerLaunch) {
        const int64_t rows = std::min(kIdsPerLaunch, count - first);
        Embedding<From, T> embedding = {pointer<From>(table), pointer<T>(y) + first * y.row_pitch(), y.row_pitch(), y.dim(-1), scale, {}};
        std::copy_n(ids.begin() + first, rows, embedding.ids);
        map_rows(op, stream, embedding, rows, y.dim(-1), has_vectors(y.dim(-1), {&table, &y}));
      }
    });
  });
}

void CudaBackend::rotary_embedding(Context&, const Tensor& x, int64_t first_position, float theta) {
  constexpr int kThreads = 128;
  const char* op = "rotary_embedding";
  const cudaStream_t stream = enter();
  if (x.elements() == 0) return;
  with_type(x.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const RotaryParams<T> p = {.x = pointer<T>(x),
                               .token_stride = x.stride(0),
                               .head_stride = x.stride(1),
                               .first_position = first_position,
                               .tokens = static_cast<int>(x.dim(0)),
                               .heads = static_cast<int>(x.dim(1)),
                               .half = static_cast<int>(x.dim(2) / 2),
                               .theta = static_cast<double>(theta)};
    rotary_kernel<T><<<static_cast<unsigned>(ceil_div(int64_t{p.tokens} * p.half, kThreads)), kThreads, 0, stream>>>(p);
    check_launch(op);
  });
}

}  // namespace linea
