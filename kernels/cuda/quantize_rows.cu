// kernels/cuda/quantize_rows.cu: rows of a 16-bit matrix as 8-bit floats (e4m3) with a scale each.
//
// Maths    s_r = max_i |x[r, i]| / 448;   y[r, i] = round(x[r, i] / s_r)
// Shape    SANA-1.6B at 1024²: 2048 rows of 2240 and of 5600.
// Tiles    block = one row, kept in the registers of 128 threads; shorter rows in fewer, so that one wave of blocks has 2048 of them, and
//          rows of more than 8192 in those of 256 threads.
// Traffic  a row is read once and written at half its size.
// Roofline bound by memory: 14 MB = 5 µs at 2.98 TB/s for rows of 2240.
// Accuracy the largest value of a row is exact, the others lose 2^-4 of themselves at most.
#include "kernels/cuda/quantize_rows.h"

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/e4m3_rows.cuh"
#include "kernels/cuda/device/math.cuh"

namespace linea::cuda {
namespace {

constexpr int kFewThreads = 128, kManyThreads = 256, kMostVectors = 8, kFewVectors = 3;

template <int kThreads, int kVectors, class T>
__global__ void __launch_bounds__(kThreads) quantize_kernel(const T* x, int64_t pitch, int dim, uint8_t* y, float* scales) {
  follow_previous();
  __shared__ float maxima[kThreads / 32];
  const int64_t index = gridDim.x - 1 - blockIdx.x;  // what was written last is still in the second-level cache
  const T* row = x + index * pitch;
  float v[kVectors][kVector];
  float largest = 0;
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const int c = (i * kThreads + static_cast<int>(threadIdx.x)) * kVector;
    if (c >= dim) continue;
    load(row + c, v[i]);
#pragma unroll
    for (int j = 0; j < kVector; ++j) largest = fmaxf(largest, fabsf(v[i][j]));
  }
  largest = max_lanes(largest);
  if (threadIdx.x % 32 == 0) maxima[threadIdx.x / 32] = largest;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kThreads / 32; ++i) largest = fmaxf(largest, maxima[i]);
  if (threadIdx.x == 0) scales[index] = e4m3_scale(largest);
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const int c = (i * kThreads + static_cast<int>(threadIdx.x)) * kVector;
    if (c < dim) store_e4m3(y + index * dim + c, v[i], e4m3_factor(largest));
  }
}

}  // namespace

void quantize_rows(cudaStream_t stream, const Tensor& x, const Tensor& y, const Tensor& scales) {
  const int64_t dim = x.dim(-1);
  static_assert(kManyThreads * kMostVectors * kVector == kLongestQuantizedRow);
  LINEA_ASSERT(dim % kVector == 0 && dim <= kLongestQuantizedRow);
  if (x.rows() == 0) return;
  with_type(x.dtype(), "quantize_rows", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto launch = [&](auto kernel, int threads) {
      launch_chained("quantize_rows", kernel, static_cast<unsigned>(x.rows()), threads, 0, stream, pointer<T>(x), x.row_pitch(),
                     static_cast<int>(dim), pointer<uint8_t>(y), scales.data<float>());
    };
    if (dim <= kFewThreads * kFewVectors * kVector) return launch(quantize_kernel<kFewThreads, kFewVectors, T>, kFewThreads);
    if (dim <= kFewThreads * kMostVectors * kVector) return launch(quantize_kernel<kFewThreads, kMostVectors, T>, kFewThreads);
    launch(quantize_kernel<kManyThreads, kMostVectors, T>, kManyThreads);
  });
}

}  // namespace linea::cuda
