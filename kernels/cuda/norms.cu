// kernels/cuda/norms.cu: norms of rows.
//
// Maths    modulated_layer_norm: mean, then Σ(x - mean)², then (x - mean)·rstd·(1 + scale) + shift.   rms_norm: Σx², then the product.
//          As e4m3 for products that take it: the result in the type of x, and its rows as quantize_rows makes them.
// Shape    SANA-1.6B at 1024²: 2048 rows of 2240. DC-AE's widest: 16.8 M rows of 128 for a picture of 4096².
// Tiles    a warp takes a row, half a warp one of up to 128 channels, and keeps it in registers. The modulation of wide rows is copied into
//          shared memory meanwhile.
// Traffic  a row is read and written once: 2 · 2048 · 2240 · 2 B = 18 MB; with a residual half as much again.
// Roofline bound by memory: 6 µs at 2.98 TB/s for SANA's, 2.9 ms for DC-AE's.
// Accuracy f32; lanes sum every 32nd vector in order, then a butterfly, so a row's bits do not depend on the other rows.
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/e4m3_rows.cuh"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/device/mma.cuh"

namespace linea {

namespace cuda {
namespace {

constexpr int kThreads = 128;

template <class T> struct LayerNormParams {
  const T* x;
  T* y;
  uint8_t* bytes;  // rows of `dim` e4m3 with their scales, in place of y
  float* scales;
  const float *scale, *shift;  // a row for every `tokens` rows of x
  int64_t x_pitch, y_pitch, scale_pitch, shift_pitch, rows;
  uint32_t tokens;
  int dim;
  float eps;
  bool shared;  // a block's rows have one scale and one shift, which wait in shared memory while the rows are summed
};

template <class T> struct RmsNormParams {
  const T *x, *residual;  // residual may be null
  T* y;
  const float *w, *bias;  // bias may be null
  int64_t x_pitch, residual_pitch, y_pitch, rows;
  int dim;
  float eps, weight_offset;
  Activation activation;
};

// A row shared by kLanes threads, in vectors of kWidth channels: kVectors of them in a thread's registers, or (kVectors = 0) any number,
// read from memory each time.
template <class T, int kLanes, int kWidth, int kVectors> struct Row {
  const T* x;
  int dim;
  Pack<T, kWidth> packs[kVectors > 0 ? kVectors : 1];

  __device__ Row(const T* row, int channels) : x(row), dim(channels) {
    if constexpr (kVectors > 0) {
#pragma unroll
      for (int i = 0; i < kVectors; ++i) {
        if (channel(i) < dim) packs[i] = *reinterpret_cast<const Pack<T, kWidth>*>(x + channel(i));
      }
    }
  }

  // Likewise, and keeps what f makes of the values, rounded to T, where there are registers for it.
  template <class F> __device__ void change(F f) {
    if constexpr (kVectors == 0) {
      each(f);
    } else {
      float v[kWidth];
#pragma unroll
      for (int i = 0; i < kVectors; ++i) {
        if (channel(i) >= dim) continue;
#pragma unroll
        for (int j = 0; j < kWidth; ++j) v[j] = to_float(packs[i].element[j]);
        f(channel(i), v);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) packs[i].element[j] = from_float<T>(v[j]);
      }
    }
  }

  // Has the values lie as they are stored from here on: the compiler would keep them as floats, in twice the registers.
  __device__ void pack() {
    if constexpr (kVectors > 0 && sizeof(T) == 2) {
#pragma unroll
      for (auto& vector : packs) {
#pragma unroll
        for (int j = 0; j < kWidth / 2; ++j) asm volatile("" : "+r"(reinterpret_cast<uint32_t*>(vector.element)[j]));
      }
    }
  }

  __device__ static int channel(int i) { return (i * kLanes + static_cast<int>(threadIdx.x) % kLanes) * kWidth; }

  // Calls f(first channel, values) for every vector of this thread.
  template <class F> __device__ void each(F f) const {
    float v[kWidth];
    if constexpr (kVectors > 0) {
#pragma unroll
      for (int i = 0; i < kVectors; ++i) {
        if (channel(i) >= dim) continue;
#pragma unroll
        for (int j = 0; j < kWidth; ++j) v[j] = to_float(packs[i].element[j]);
        f(channel(i), v);
      }
    } else {
      for (int c = channel(0); c < dim; c += kLanes * kWidth) {
        load(x + c, v);
        f(c, v);
      }
    }
  }
};

// The last rows first: what the kernel before wrote last is still in the second-level cache, as the first rows are for the next one.
template <int kLanes> __device__ int64_t row_of_thread(int64_t rows) {
  return rows - 1 - (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kLanes;
}

// The row that `norm` makes of x, as e4m3 with its scale.
template <class T, int kLanes, int kWidth, int kVectors, class Norm>
__device__ void store_bytes(Row<T, kLanes, kWidth, kVectors>& x, const Norm& norm, uint8_t* y, float* scale) {
  float largest = 0;
  const auto rounded = [&](int c, float(&v)[kWidth]) {
    norm(c, v);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      v[j] = to_float(from_float<T>(v[j]));
      largest = fmaxf(largest, fabsf(v[j]));
    }
  };
  x.pack();
  x.change(rounded);
  x.pack();
  largest = max_lanes<kLanes>(largest);
  if (threadIdx.x % kLanes == 0) *scale = e4m3_scale(largest);
  const float factor = e4m3_factor(largest);
  x.each([&](int c, float(&v)[kWidth]) {
    if constexpr (kVectors == 0) rounded(c, v);
    store_e4m3(y + c, v, factor);
  });
}

// Rows for which a thread takes so many vectors have their modulation in shared memory: from memory it would come vector by vector.
constexpr int kManyVectors = 5;

// A row of floats into shared memory, by the whole block.
__device__ inline void copy_row(float* to, const float* from, int dim) {
#pragma unroll 1
  for (int c = static_cast<int>(threadIdx.x) * 4; c < dim; c += kThreads * 4) copy_async_16(to + c, from + c, true);
}

template <int kLanes, int kWidth, int kVectors, bool kBytes, class T>
__global__ void __launch_bounds__(kThreads, kBytes ? 5 : 0) layer_norm_kernel(const __grid_constant__ LayerNormParams<T> p) {
  constexpr bool kMany = kWidth > 1 && kVectors >= kManyVectors;
  __shared__ __align__(16) float modulation[2][kMany ? kLanes * kWidth * kVectors : 4];
  follow_previous();
  const int64_t row = row_of_thread<kLanes>(p.rows);
  if (row < 0) return;
  Row<T, kLanes, kWidth, kVectors> x(p.x + row * p.x_pitch, p.dim);
  const uint32_t member = static_cast<uint32_t>(row) / p.tokens;
  const float* scale = p.scale + member * p.scale_pitch;
  const float* shift = p.shift + member * p.shift_pitch;
  if constexpr (kMany) {
    if (p.shared) {
      copy_row(modulation[0], scale, p.dim);
      copy_row(modulation[1], shift, p.dim);
      commit_copies();
      scale = modulation[0];
      shift = modulation[1];
    }
  }

  float sum = 0;
  x.each([&](int, const float(&v)[kWidth]) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum += v[j];
  });
  const float mean = sum_lanes<kLanes>(sum) / static_cast<float>(p.dim);
  float squares = 0;
  x.each([&](int, const float(&v)[kWidth]) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) squares += (v[j] - mean) * (v[j] - mean);
  });
  const float rstd = 1.0f / sqrtf(sum_lanes<kLanes>(squares) / static_cast<float>(p.dim) + p.eps);
  const auto norm = [&](int c, float(&v)[kWidth]) {
    float a[kWidth], b[kWidth];
    load(scale + c, a);
    load(shift + c, b);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] = (v[j] - mean) * rstd * (1.0f + a[j]) + b[j];
  };
  if constexpr (kMany) {
    if (p.shared) {
      wait_copies<0>();
      __syncthreads();
    }
  }
  if constexpr (kBytes) {
    store_bytes(x, norm, p.bytes + row * p.dim, p.scales + row);
  } else {
    T* y = p.y + row * p.y_pitch;
    x.each([&](int c, float(&v)[kWidth]) {
      norm(c, v);
      store(y + c, v);
    });
  }
}

template <int kLanes, int kWidth, int kVectors, class T> __global__ void __launch_bounds__(kThreads) rms_norm_kernel(RmsNormParams<T> p) {
  follow_previous();
  const int64_t row = row_of_thread<kLanes>(p.rows);
  if (row < 0) return;
  const Row<T, kLanes, kWidth, kVectors> x(p.x + row * p.x_pitch, p.dim);
  const T* residual = p.residual ? p.residual + row * p.residual_pitch : nullptr;
  T* y = p.y + row * p.y_pitch;

  float squares = 0;
  x.each([&](int, const float(&v)[kWidth]) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) squares += v[j] * v[j];
  });
  const float rstd = 1.0f / sqrtf(sum_lanes<kLanes>(squares) / static_cast<float>(p.dim) + p.eps);
  x.each([&](int c, float(&v)[kWidth]) {
    float other[kWidth];
    load(p.w + c, other);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] = v[j] * rstd * (other[j] + p.weight_offset);
    if (p.bias) {
      load(p.bias + c, other);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) v[j] += other[j];
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] = cuda::activate(v[j], p.activation);
    if (residual) {
      load(residual + c, other);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) v[j] += other[j];
    }
    store(y + c, v);
  });
}

template <int kLanesOfRow, int kWidthOfVector, int kVectorsOfLane> struct Form {
  static constexpr int kLanes = kLanesOfRow, kWidth = kWidthOfVector, kVectors = kVectorsOfLane;
};

// Calls f(Form, blocks) with the narrowest compiled form that holds a row.
template <class F> void with_form(int64_t rows, int64_t dim, bool vectorised, const char* op, F&& f) {
  const auto call = [&](auto form) {
    f(form, static_cast<unsigned>(ceil_div(rows * decltype(form)::kLanes, kThreads)));
    check_launch(op);
  };
  if (!vectorised) return call(Form<32, 1, 0>{});
  if (dim <= 128) return call(Form<16, kVector, 1>{});
  if (dim <= 256) return call(Form<32, kVector, 1>{});
  if (dim <= 512) return call(Form<32, kVector, 2>{});
  if (dim <= 1280) return call(Form<32, kVector, 5>{});
  if (dim <= 2304) return call(Form<32, kVector, 9>{});
  call(Form<32, kVector, 0>{});
}

}  // namespace
}  // namespace cuda

using namespace cuda;

void CudaBackend::modulated_layer_norm(Context&, const Tensor& x, const Tensor& scale, const Tensor& shift, const ProductRows& y,
                                       float eps) {
  const char* op = "modulated_layer_norm";
  const cudaStream_t stream = enter();
  if (x.rows() == 0) return;
  with_type(x.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const cuda::LayerNormParams<T> p = {.x = pointer<T>(x),
                                        .y = pointer<T>(y.values),
                                        .bytes = pointer<uint8_t>(y.values),
                                        .scales = pointer<float>(y.scales),
                                        .scale = floats(scale),
                                        .shift = floats(shift),
                                        .x_pitch = x.row_pitch(),
                                        .y_pitch = y.values.row_pitch(),
                                        .scale_pitch = scale.row_pitch(),
                                        .shift_pitch = shift.row_pitch(),
                                        .rows = x.rows(),
                                        .tokens = static_cast<uint32_t>(x.rows() / scale.dim(0)),
                                        .dim = static_cast<int>(x.dim(2)),
                                        .eps = eps,
                                        .shared = x.rows() / scale.dim(0) % (kThreads / 32) == 0};
    with_form(p.rows, p.dim, has_vectors(p.dim, {&x, &y.values, &scale, &shift}), op, [&](auto form, unsigned blocks) {
      using Form = decltype(form);
      const auto launch = [&](auto bytes) {
        constexpr bool kBytes = decltype(bytes)::value;
        launch_chained(op, layer_norm_kernel<Form::kLanes, Form::kWidth, Form::kVectors, kBytes, T>, blocks, kThreads, 0, stream, p);
      };
      if (!p.scales) return launch(std::false_type{});
      if constexpr (Form::kWidth == kVector && sizeof(T) == 2) return launch(std::true_type{});
      LINEA_ASSERT(!"rows of e4m3 have vectors");
    });
  });
}

void CudaBackend::rms_norm(Context&, const Tensor& x, const Tensor& w, const Tensor& y, const RmsNormArgs& args) {
  const char* op = "rms_norm";
  const cudaStream_t stream = enter();
  if (x.rows() == 0) return;
  with_type(x.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const cuda::RmsNormParams<T> p = {.x = pointer<T>(x),
                                      .residual = pointer<T>(args.residual),
                                      .y = pointer<T>(y),
                                      .w = floats(w),
                                      .bias = floats(args.bias),
                                      .x_pitch = x.row_pitch(),
                                      .residual_pitch = pitch_of(args.residual),
                                      .y_pitch = y.row_pitch(),
                                      .rows = x.rows(),
                                      .dim = static_cast<int>(x.dim(-1)),
                                      .eps = args.eps,
                                      .weight_offset = args.unit_offset ? 1.0f : 0.0f,
                                      .activation = args.activation};
    with_form(p.rows, p.dim, has_vectors(p.dim, {&x, &y, &w, &args.bias, &args.residual}), op, [&](auto form, unsigned blocks) {
      using Form = decltype(form);
      launch_chained(op, rms_norm_kernel<Form::kLanes, Form::kWidth, Form::kVectors, T>, blocks, kThreads, 0, stream, p);
    });
  });
}

}  // namespace linea
