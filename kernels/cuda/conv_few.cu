// kernels/cuda/conv_few.cu: 3×3 convolutions of 16-bit types with at most eight outputs.
//
// Maths    y[pixel, n] = residual + act( Σ_{ky,kx,c} x[pixel + (ky, kx) - 1, c] w[n, ky, kx, c] + bias )
// Shape    DC-AE's decoder at 1024²: 1024²×128 onto 3 channels.
// Tiles    block = 16×16 pixels, 8 warps of two rows of 16. The 18×18 pixels with all their channels (86 KiB at 128) and all filters
//          (filled up to eight) lie in shared memory. A filter position is the same pixels, begun elsewhere: memory sees each pixel once.
// Traffic  x once, 27 % of it again from the second-level cache: 268 MB.
// Roofline bound by memory: 90 µs at 2.98 TB/s; 190 µs measured.
// Accuracy products and sums in f32, in one order wherever the tile lies: strips equal the whole. One rounding.
#include "kernels/cuda/conv_few.h"

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/device/mma.cuh"

namespace linea::cuda {
namespace {

constexpr int kThreads = 256, kSide = 16, kHalo = kSide + 2, kOutputs = 8, kTaps = 9, kLargestShared = 112 << 10;

template <class T> struct FewConvParams {
  const T *x, *w, *residual;  // w [out, 3, 3, in]; residual may be null
  T* y;
  const float* bias;  // may be null
  int in, out, height, width, out_height, column_tiles, row_tiles, pad_top;
  Activation activation;
};

constexpr int64_t shared_bytes_of(int64_t in) { return (kHalo * kHalo * (in + 8) + kOutputs * (kTaps * in + 8)) * 2; }

template <class T> __global__ void __launch_bounds__(kThreads, 2) few_conv_kernel(const __grid_constant__ FewConvParams<T> p) {
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  const int pitch = p.in + 8, filter = kTaps * p.in, filter_pitch = filter + 8;  // odd in units of 16 bytes: no bank conflicts
  T* pixels = reinterpret_cast<T*>(shared_bytes);                                // [row][column][pitch]
  T* filters = pixels + kHalo * kHalo * pitch;                                   // [output][filter_pitch]
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int tile = static_cast<int>(blockIdx.x), column_tile = tile % p.column_tiles, row_tile = tile / p.column_tiles % p.row_tiles;
  const int member = tile / p.column_tiles / p.row_tiles, first_row = row_tile * kSide, first_column = column_tile * kSide;
  const T* image = p.x + static_cast<int64_t>(member) * p.height * p.width * p.in;
  const int chunks = p.in / 8;
  for (int i = thread; i < kHalo * kHalo * chunks; i += kThreads) {
    const int pixel = i / chunks, c = i % chunks * 8, row = first_row + pixel / kHalo - p.pad_top,
              column = first_column + pixel % kHalo - 1;
    const bool valid = row >= 0 && row < p.height && column >= 0 && column < p.width;
    copy_async_16(pixels + pixel * pitch + c, valid ? image + (static_cast<int64_t>(row) * p.width + column) * p.in + c : p.x, valid);
  }
  for (int i = thread; i < kOutputs * filter / 8; i += kThreads) {
    const int n = i / (filter / 8), k = i % (filter / 8) * 8;
    copy_async_16(filters + n * filter_pitch + k, n < p.out ? p.w + n * filter + k : p.w, n < p.out);
  }
  commit_copies();
  wait_copies<0>();
  __syncthreads();

  float sums[2][4] = {};
  for (int tap = 0; tap < kTaps; ++tap) {
    const T* left = pixels + ((warp * 2 + tap / 3) * kHalo + lane % 16 + tap % 3) * pitch + lane / 16 * 8;
    const T* right = filters + lane % 8 * filter_pitch + tap * p.in + lane / 8 * 8;
    for (int c = 0; c < p.in; c += 32) {
      uint32_t b[4];
      load_matrices(b, right + c);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          uint32_t a[4];
          load_matrices(a, left + r * kHalo * pitch + c + 16 * k);
          multiply<T>(sums[r], a, b[2 * k], b[2 * k + 1]);
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = first_row + warp * 2 + r;
    if (row >= p.out_height) continue;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = first_column + lane / 4 + i / 2 * 8, n = lane % 4 * 2 + i % 2;
      if (column >= p.width || n >= p.out) continue;
      const int64_t at = ((static_cast<int64_t>(member) * p.out_height + row) * p.width + column) * p.out + n;
      float v = activate(sums[r][i] + (p.bias ? p.bias[n] : 0.0f), p.activation);
      if (p.residual) v += to_float(p.residual[at]);
      p.y[at] = from_float<T>(v);
    }
  }
}

}  // namespace

bool is_few_conv(const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args) {
  return x.dtype() != DType::kF32 && w.shape[0] <= kOutputs && w.shape[1] % 32 == 0 && w.shape[2] == 3 && args.stride == 1 &&
         !args.upsample_nearest && is_aligned(x.raw(), 0) && shared_bytes_of(w.shape[1]) <= kLargestShared && y.rows() > 0;
}

void few_conv(cudaStream_t stream, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args) {
  with_type(x.dtype(), "conv2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (sizeof(T) == 2) {
      const FewConvParams<T> p = {.x = pointer<T>(x),
                                  .w = pointer<T>(w.data),
                                  .residual = pointer<T>(args.residual),
                                  .y = pointer<T>(y),
                                  .bias = floats(args.bias),
                                  .in = static_cast<int>(w.shape[1]),
                                  .out = static_cast<int>(w.shape[0]),
                                  .height = static_cast<int>(x.dim(1)),
                                  .width = static_cast<int>(x.dim(2)),
                                  .out_height = static_cast<int>(y.dim(1)),
                                  .column_tiles = static_cast<int>(ceil_div(y.dim(2), kSide)),
                                  .row_tiles = static_cast<int>(ceil_div(y.dim(1), kSide)),
                                  .pad_top = args.pad_top < 0 ? 1 : args.pad_top,
                                  .activation = args.activation};
      const int64_t shared = shared_bytes_of(p.in), blocks = int64_t{p.column_tiles} * p.row_tiles * y.dim(0);
      allow_shared(few_conv_kernel<T>, shared, "conv2d");
      few_conv_kernel<T><<<static_cast<unsigned>(blocks), kThreads, static_cast<size_t>(shared), stream>>>(p);
      check_launch("conv2d");
    }
  });
}

}  // namespace linea::cuda
