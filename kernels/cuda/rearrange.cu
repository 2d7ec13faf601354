// kernels/cuda/rearrange.cu: DC-AE's rearrangements between a map and one of twice its size, and its channel shortcuts.
//
// Maths    kernels/ops.h
// Shape    DC-AE's decoder at 1024²: 512²×256 onto 1024²×128.
// Tiles    a thread takes one channel of one coarse pixel (or row) and the four fine values that belong to it.
// Traffic  every byte once, twice where y is added to: 134 MB read and 268 + 268 MB for that stage in bf16.
// Roofline bound by memory: 0.22 ms at 2.98 TB/s; neighbouring threads meet neighbouring channels on at least one side.
// Accuracy exact, or one rounding after sums in f32.
#include "kernels/cuda/common.cuh"

namespace linea {

namespace cuda {
namespace {

// Coarse pixel number -> its upper left fine pixel; rows count over the whole batch.
struct TwoScales {
  uint32_t width;  // of the coarse map

  __device__ int64_t fine(int64_t coarse, int i, int j) const {
    const uint32_t row = static_cast<uint32_t>(coarse) / width, column = static_cast<uint32_t>(coarse) % width;
    return (2 * static_cast<int64_t>(row) + i) * 2 * width + 2 * column + j;
  }
};

template <class T> struct RearrangeParams {
  const T* x;
  T* y;
  int64_t in, out;  // channels of x and y
  TwoScales scales;
};

template <class T> struct PixelShuffle {
  RearrangeParams<T> p;
  template <int> __device__ void apply(int64_t pixel, int64_t c) const {
    for (int i = 0; i < 4; ++i) p.y[p.scales.fine(pixel, i / 2, i % 2) * p.out + c] = p.x[pixel * p.in + 4 * c + i];
  }
};

template <class T> struct PixelUnshuffle {
  RearrangeParams<T> p;
  template <int> __device__ void apply(int64_t pixel, int64_t c) const {
    for (int i = 0; i < 4; ++i) p.y[pixel * p.out + 4 * c + i] = p.x[p.scales.fine(pixel, i / 2, i % 2) * p.in + c];
  }
};

template <class T> struct AddDownsampleShortcut {
  RearrangeParams<T> p;
  template <int> __device__ void apply(int64_t pixel, int64_t c) const {
    const int64_t group = 4 * p.in / p.out;
    float sum = 0;
    for (int64_t u = c * group; u < (c + 1) * group; ++u) {
      sum += to_float(p.x[p.scales.fine(pixel, static_cast<int>(u / 2 % 2), static_cast<int>(u % 2)) * p.in + u / 4]);
    }
    T& y = p.y[pixel * p.out + c];
    y = from_float<T>(to_float(y) + sum * (1.0f / static_cast<float>(group)));
  }
};

template <class T> struct AddUpsampleShortcut {
  RearrangeParams<T> p;
  template <int> __device__ void apply(int64_t pixel, int64_t c) const {
    const int64_t repeat = 4 * p.out / p.in;
    for (int i = 0; i < 4; ++i) {
      T& y = p.y[p.scales.fine(pixel, i / 2, i % 2) * p.out + c];
      y = from_float<T>(to_float(y) + to_float(p.x[pixel * p.in + (4 * c + i) / repeat]));
    }
  }
};

// The same for 8 channels, of which each value of x goes to kRepeat neighbours in the order (channel, row, column).
template <int kRepeat> struct RepeatedShortcut {
  template <class T> struct Add {
    RearrangeParams<T> p;
    template <int kWidth> __device__ void apply(int64_t pixel, int64_t c) const {
      float x[4 * kWidth / kRepeat], v[kWidth];
      load(p.x + pixel * p.in + 4 * c / kRepeat, x);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        T* y = p.y + p.scales.fine(pixel, i / 2, i % 2) * p.out + c;
        load(y, v);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) v[k] += x[(4 * k + i) / kRepeat];
        store(y, v);
      }
    }
  };
};

template <class T> struct AddChannelMean {
  const T* x;
  T* y;
  int64_t x_pitch, y_pitch, group;
  template <int> __device__ void apply(int64_t row, int64_t c) const {
    float sum = 0;
    for (int64_t i = 0; i < group; ++i) sum += to_float(x[row * x_pitch + c * group + i]);
    T& v = y[row * y_pitch + c];
    v = from_float<T>(to_float(v) + sum * (1.0f / static_cast<float>(group)));
  }
};

template <class T> struct AddChannelRepeat {
  const T* x;
  T* y;
  int64_t x_pitch, y_pitch, repeat;
  template <int> __device__ void apply(int64_t row, int64_t c) const {
    T& v = y[row * y_pitch + c];
    v = from_float<T>(to_float(v) + to_float(x[row * x_pitch + c / repeat]));
  }
};

// One call for every pixel of the coarse map and channel [0, channels).
template <template <class> class Op>
void rearrange(const char* op, cudaStream_t stream, const Tensor& x, const Tensor& y, int64_t channels, bool vectorised = false) {
  const Tensor& coarse = x.dim(1) < y.dim(1) ? x : y;
  with_type(x.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Op<T> map = {{pointer<T>(x), pointer<T>(y), x.dim(3), y.dim(3), {static_cast<uint32_t>(coarse.dim(2))}}};
    map_rows(op, stream, map, coarse.rows(), channels, vectorised);
  });
}

template <template <class> class Op>
void channel_op(const char* op, cudaStream_t stream, const Tensor& x, const Tensor& y, int64_t factor) {
  with_type(x.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Op<T> map = {pointer<T>(x), pointer<T>(y), x.row_pitch(), y.row_pitch(), factor};
    map_rows(op, stream, map, y.rows(), y.dim(-1), /*vectorised=*/false);
  });
}

}  // namespace
}  // namespace cuda

using namespace cuda;

void CudaBackend::pixel_shuffle(Context&, const Tensor& x, const Tensor& y) {
  rearrange<PixelShuffle>("pixel_shuffle", enter(), x, y, y.dim(3));
}
void CudaBackend::pixel_unshuffle(Context&, const Tensor& x, const Tensor& y) {
  rearrange<PixelUnshuffle>("pixel_unshuffle", enter(), x, y, x.dim(3));
}
void CudaBackend::add_downsample_shortcut(Context&, const Tensor& x, const Tensor& y) {
  rearrange<AddDownsampleShortcut>("add_downsample_shortcut", enter(), x, y, y.dim(3));
}
void CudaBackend::add_upsample_shortcut(Context&, const Tensor& x, const Tensor& y) {
  const char* op = "add_upsample_shortcut";
  const int64_t repeat = 4 * y.dim(3) / x.dim(3);
  const bool vectorised = has_vectors(y.dim(3), {&x, &y});
  if (vectorised && repeat == 2) return rearrange<RepeatedShortcut<2>::Add>(op, enter(), x, y, y.dim(3), true);
  if (vectorised && repeat == 4) return rearrange<RepeatedShortcut<4>::Add>(op, enter(), x, y, y.dim(3), true);
  rearrange<AddUpsampleShortcut>(op, enter(), x, y, y.dim(3));
}
void CudaBackend::add_channel_mean(Context&, const Tensor& x, const Tensor& y) {
  channel_op<AddChannelMean>("add_channel_mean", enter(), x, y, x.dim(-1) / y.dim(-1));
}
void CudaBackend::add_channel_repeat(Context&, const Tensor& x, const Tensor& y) {
  channel_op<AddChannelRepeat>("add_channel_repeat", enter(), x, y, y.dim(-1) / x.dim(-1));
}

}  // namespace linea
