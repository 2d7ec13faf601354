// kernels/cuda/norms.cu: norms of rows.
//
// Maths    modulated_layer_norm: mean, then Σ(x - mean)², then (x - mean)·rstd·(1 + scale) + shift.   rms_norm: Σx², then the product.
//          As e4m3 for products that take it: the result in the type of x, and its rows as quantize_rows makes them.
// Shape    SANA-1.6B at 1024²: 2048 rows of 2240. DC-AE's widest: 16.8 M rows of 128 for a picture of 4096².
// Tiles    a warp takes a row, half a warp one of up to 128 channels, and keeps it in registers. The modulation of wide rows is copied into
//          shared memory meanwhile. Of long maps with one modulation the blocks stay: it is copied once, and a warp has its next row under
//          way while it works on one.
// Traffic  a row is read and written once: 2 · 2048 · 2240 · 2 B = 18 MB; with a residual half as much again.
// Roofline bound by memory: 6 µs at 2.98 TB/s for SANA's, 2.9 ms for DC-AE's.
// Accuracy f32; lanes sum every 32nd vector in order, then a butterfly, so a row's bits do not depend on the other rows.
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/e4m3_rows.cuh"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device_facts.h"

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
// read from memory each time. kDense: so many channels that only a thread's last vector may be missing.
template <class T, int kLanes, int kWidth, int kVectors, bool kDense = false> struct Row {
  const T* x;
  int dim;
  Pack<T, kWidth> packs[kVectors > 0 ? kVectors : 1];

  __device__ explicit Row(int channels) : x(nullptr), dim(channels) {}
  __device__ Row(const T* row, int channels) : dim(channels) { take(row); }
  __device__ void take(const T* row) {
    x = row;
    if constexpr (kVectors > 0) {
#pragma unroll
      for (int i = 0; i < kVectors; ++i) {
        if (has(i)) packs[i] = *reinterpret_cast<const Pack<T, kWidth>*>(x + channel(i));
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
        if (!has(i)) continue;
        load(packs[i].element, v);
        f(channel(i), v);
        store(packs[i].element, v);
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

  // The largest absolute value of this thread's; NaN only counts where it is everything.
  __device__ float largest() const {
    static_assert(kVectors > 0 && sizeof(T) == 2);
    using Pair = std::conditional_t<std::is_same_v<T, __half>, __half2, __nv_bfloat162>;
    Pair most = {from_float<T>(0.0f), from_float<T>(0.0f)};
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      if (!has(i)) continue;
#pragma unroll
      for (int j = 0; j < kWidth; j += 2) most = __hmax2(most, __habs2(*reinterpret_cast<const Pair*>(packs[i].element + j)));
    }
    return fmaxf(to_float(most.x), to_float(most.y));
  }

  __device__ bool has(int i) const { return (kDense && i < kVectors - 1) || channel(i) < dim; }
  __device__ static int channel(int i) { return (i * kLanes + static_cast<int>(threadIdx.x) % kLanes) * kWidth; }

  // Calls f(first channel, values) for every vector of this thread.
  template <class F> __device__ void each(F f) const {
    float v[kWidth];
    if constexpr (kVectors > 0) {
#pragma unroll
      for (int i = 0; i < kVectors; ++i) {
        if (!has(i)) continue;
        load(packs[i].element, v);
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
template <class T, int kLanes, int kWidth, int kVectors, bool kDense, class Norm>
__device__ void store_bytes(Row<T, kLanes, kWidth, kVectors, kDense>& x, const Norm& norm, uint8_t* y, float* scale) {
  float largest = 0;
  const auto rounded = [&](int c, float(&v)[kWidth]) {
    norm(c, v);
#pragma unroll
    for (float& value : v) value = to_float(from_float<T>(value));
  };
  if constexpr (kVectors > 0) {
    x.pack();
    x.change(norm);
    x.pack();
    largest = x.largest();
  } else {
    x.each([&](int c, float(&v)[kWidth]) {
      rounded(c, v);
#pragma unroll
      for (const float value : v) largest = fmaxf(largest, fabsf(value));
    });
  }
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

struct Moments {
  float mean, rstd;
};
template <class T, int kLanes, int kWidth, int kVectors, bool kDense>
__device__ Moments moments_of(const Row<T, kLanes, kWidth, kVectors, kDense>& x, int dim, float eps) {
  float sum = 0;
  x.each([&](int, const float(&v)[kWidth]) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum += v[j];
  });
  const float mean = sum_lanes<kLanes>(sum) / static_cast<float>(dim);
  float squares = 0;
  x.each([&](int, const float(&v)[kWidth]) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) squares += (v[j] - mean) * (v[j] - mean);
  });
  return {mean, 1.0f / sqrtf(sum_lanes<kLanes>(squares) / static_cast<float>(dim) + eps)};
}

// What `norm` makes of a row.
template <bool kBytes, class T, int kLanes, int kWidth, int kVectors, bool kDense, class Norm>
__device__ void store_row(const LayerNormParams<T>& p, int64_t row, Row<T, kLanes, kWidth, kVectors, kDense>& x, const Norm& norm) {
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

template <int kLanes, int kWidth, int kVectors, bool kDense, bool kBytes, class T>
__global__ void __launch_bounds__(kThreads, kDense   ? 4
                                            : kBytes ? 5
                                                     : 0) layer_norm_kernel(const __grid_constant__ LayerNormParams<T> p) {
  constexpr bool kMany = kWidth > 1 && kVectors >= kManyVectors;
  __shared__ __align__(16) float modulation[2][kMany ? kLanes * kWidth * kVectors : 4];
  follow_previous();
  const int64_t row = row_of_thread<kLanes>(p.rows);
  if (row < 0) return;
  Row<T, kLanes, kWidth, kVectors, kDense> x(p.x + row * p.x_pitch, p.dim);
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

  const Moments moments = moments_of(x, p.dim, p.eps);
  const auto norm = [&](int c, float(&v)[kWidth]) {
    float a[kWidth], b[kWidth];
    load(scale + c, a);
    load(shift + c, b);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] = (v[j] - moments.mean) * moments.rstd * (1.0f + a[j]) + b[j];
  };
  if constexpr (kMany) {
    if (p.shared) {
      wait_copies<0>();
      __syncthreads();
    }
  }
  store_row<kBytes>(p, row, x, norm);
}

// Rows of long maps that have one modulation. The blocks stand on the device together and go through the rows as the kernel above does, so
// that the next rows are under way whatever the processors do.
constexpr int kLongBlocks = 3;  // on a multiprocessor
template <int kVectors, bool kBytes, class T>
__global__ void __launch_bounds__(kThreads, kLongBlocks) long_layer_norm_kernel(const __grid_constant__ LayerNormParams<T> p) {
  constexpr int kLanes = 32, kWidth = kVector;
  __shared__ __align__(16) float factors[kLanes * kWidth * kVectors], shifts[kLanes * kWidth * kVectors];
  follow_previous();
  const int64_t step = static_cast<int64_t>(gridDim.x) * (kThreads / kLanes);
  int64_t row = row_of_thread<kLanes>(p.rows);
  Row<T, kLanes, kWidth, kVectors, true> x(p.dim), next(p.dim);
  if (row >= 0) x.take(p.x + row * p.x_pitch);
  copy_row(factors, p.scale, p.dim);
  copy_row(shifts, p.shift, p.dim);
  commit_copies();
  wait_copies<0>();
  for (int c = static_cast<int>(threadIdx.x) * 4; c < p.dim; c += kThreads * 4) {  // what this thread has copied
    float4& factor = *reinterpret_cast<float4*>(factors + c);
    factor = {1.0f + factor.x, 1.0f + factor.y, 1.0f + factor.z, 1.0f + factor.w};
  }
  __syncthreads();
#pragma unroll 1
  for (; row >= 0; row -= step) {
    if (row >= step) next.take(p.x + (row - step) * p.x_pitch);
    asm volatile("" ::: "memory");  // the reads stay here
    x.pack();
    const Moments moments = moments_of(x, p.dim, p.eps);
    x.pack();
    store_row<kBytes>(p, row, x, [&](int c, float(&v)[kWidth]) {
      float a[kWidth], b[kWidth];
      load(factors + c, a);
      load(shifts + c, b);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) v[j] = (v[j] - moments.mean) * moments.rstd * a[j] + b[j];
    });
    x = next;
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

constexpr int64_t kLongMap = 2048;  // rows of a member from which on blocks stay

// `processors` of them for a long map with one modulation, else 0.
template <class Form, bool kBytes, class T>
void launch_layer_norm(cudaStream_t stream, const LayerNormParams<T>& p, unsigned blocks, int processors) {
  constexpr const char* kOp = "modulated_layer_norm";
  constexpr bool kWide = Form::kWidth == kVector && Form::kVectors >= kManyVectors && sizeof(T) == 2;
  const auto launch = [&](auto dense) {
    launch_chained(kOp, layer_norm_kernel<Form::kLanes, Form::kWidth, Form::kVectors, decltype(dense)::value, kBytes, T>, blocks, kThreads,
                   0, stream, p);
  };
  if constexpr (kWide) {
    const bool dense = p.dim > (Form::kVectors - 1) * Form::kLanes * Form::kWidth;
    if (dense && processors > 0) {
      blocks = std::min(blocks, static_cast<unsigned>(processors * kLongBlocks));
      return launch_chained(kOp, long_layer_norm_kernel<Form::kVectors, kBytes, T>, blocks, kThreads, 0, stream, p);
    }
    if (dense) return launch(std::true_type{});
  }
  launch(std::false_type{});
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
    const bool is_long = scale.dim(0) == 1 && x.dim(1) >= kLongMap;
    with_form(p.rows, p.dim, has_vectors(p.dim, {&x, &y.values, &scale, &shift}), op, [&](auto form, unsigned blocks) {
      using Form = decltype(form);
      const auto launch = [&](auto bytes) {
        launch_layer_norm<Form, decltype(bytes)::value>(stream, p, blocks, is_long ? processors_of(device_.index) : 0);
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
