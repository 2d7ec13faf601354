// kernels/cuda/batch_linear_f32.cu: products of small f32 matrices with 5 to 64 rows, several in one launch.
//
// Maths    y[r, o] = residual + f(bias[o] + Σ_i W[o, i] x[r, i])
// Shape    64 texts of RWKV-7 7.2B: the decays' W of 4096×128.
// Tiles    a block takes 32 outputs of 64 rows; W and x come in chunks of 64 channels, turned so that a thread reads its four outputs
//          and two rows of a channel as vectors. The next chunk is on its way in registers while one is multiplied.
// Traffic  W once from memory, x (32 KB) by every block from the second-level cache.
// Roofline bound by latency: 2 MB of W are 1 µs, its products 1.2.
// Accuracy f32, sums in ascending order, one rounding.
#include "kernels/cuda/batch_linear.h"
#include "kernels/cuda/device/batch_ending.cuh"

namespace linea::cuda {
namespace {

constexpr int kOutputs = 32, kRows = 64, kChannels = 64, kThreads = 256;
constexpr int kThreadOutputs = kEndingWidth, kThreadRows = 2, kWidth = 4;
constexpr int kRowVectors = kChannels / kWidth;  // of a chunk
constexpr int kOutputVectors = kOutputs * kRowVectors / kThreads, kXVectors = kRows * kRowVectors / kThreads;

struct Chunk {
  float w[kChannels][kOutputs], x[kChannels][kRows];
};

// A thread's vectors of a chunk: a warp has 32 rows of a matrix and one vector of each, so that stores to shared memory lie side by side.
template <int kCount> struct Fetched {
  float4 vector[kCount];

  __device__ void load(const float* matrix, int64_t pitch, int rows, int first_channel, int channels) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int index = static_cast<int>(threadIdx.x) + i * kThreads, row = index % (kCount * kThreads / kRowVectors);
      const int channel = first_channel + index / (kCount * kThreads / kRowVectors) * kWidth;
      const bool valid = row < rows && channel < channels;
      vector[i] = valid ? *reinterpret_cast<const float4*>(matrix + row * pitch + channel) : float4{0, 0, 0, 0};
    }
  }
  template <int kRowsOfMatrix> __device__ void store(float (*to)[kRowsOfMatrix]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int index = static_cast<int>(threadIdx.x) + i * kThreads, row = index % kRowsOfMatrix, channel = index / kRowsOfMatrix * kWidth;
      to[channel][row] = vector[i].x;
      to[channel + 1][row] = vector[i].y;
      to[channel + 2][row] = vector[i].z;
      to[channel + 3][row] = vector[i].w;
    }
  }
};

__device__ inline void add(float4& sums, float x, const float4& w) {
  sums = {fmaf(x, w.x, sums.x), fmaf(x, w.y, sums.y), fmaf(x, w.z, sums.z), fmaf(x, w.w, sums.w)};
}

__global__ void __launch_bounds__(kThreads) batch_linear_f32_kernel(const __grid_constant__ Products all) {
  __shared__ Chunk chunk;
  const Product& p = product_of_block(all);
  const int first_output = (static_cast<int>(blockIdx.x) - p.first_block) * kOutputs, rows = static_cast<int>(all.rows);
  const int channels = p.vectors * kWidth, left = p.out - first_output;
  const float *x = static_cast<const float*>(p.x), *w = static_cast<const float*>(p.w) + static_cast<int64_t>(first_output) * channels;
  Fetched<kOutputVectors> next_w;
  Fetched<kXVectors> next_x;
  next_w.load(w, channels, left, 0, channels);
  follow_previous();
  next_x.load(x, p.x_pitch, rows, 0, channels);

  const int own_output = static_cast<int>(threadIdx.x) % (kOutputs / kThreadOutputs) * kThreadOutputs;
  const int own_row = static_cast<int>(threadIdx.x) / (kOutputs / kThreadOutputs) * kThreadRows;
  float4 low = {0, 0, 0, 0}, high = low;  // of the first row and of the second
  for (int first = 0; first < channels; first += kChannels) {
    __syncthreads();  // the chunk before has been multiplied
    next_w.store(chunk.w);
    next_x.store(chunk.x);
    __syncthreads();
    next_w.load(w, channels, left, first + kChannels, channels);
    next_x.load(x, p.x_pitch, rows, first + kChannels, channels);
#pragma unroll 16
    for (int c = 0; c < kChannels; ++c) {
      const float4 b = *reinterpret_cast<const float4*>(&chunk.w[c][own_output]);
      const float2 a = *reinterpret_cast<const float2*>(&chunk.x[c][own_row]);
      add(low, a.x, b);
      add(high, a.y, b);
    }
  }
  __syncthreads();  // the last chunk has been multiplied, and its place takes the sums
  float* sums = &chunk.w[0][0] + threadIdx.x * kThreadRows * kEndingWidth;
  *reinterpret_cast<float4*>(sums) = low;
  *reinterpret_cast<float4*>(sums + kEndingWidth) = high;
  EndingRows ending = {.share_count = 1, .sum_pitch = kEndingWidth, .rows = min(rows, own_row + kThreadRows), .step = 1};
  ending.shares[0] = sums;
  if (own_output >= left) return;
  ending.prepare(p, own_row, first_output + own_output);
  finish_rows_of(ending, p);
}

}  // namespace

bool fits_batch_f32(const Projection& p) {
  constexpr int64_t kMostChannels = 256;  // beyond, a block's few outputs would read x too often
  const int64_t in = p.x.dim(1);
  return p.x.dtype() == DType::kF32 && p.w->data.dtype() == DType::kF32 && p.x.rows() <= kRows && in % kWidth == 0 && in <= kMostChannels &&
         has_ending_vectors(p) && is_aligned(p.x.raw(), p.x.row_pitch() * 4) && is_aligned(p.w->data.raw(), in * 4);
}

void batch_f32_projections(cudaStream_t stream, std::span<const Projection> projections) {
  LINEA_ASSERT(projections.size() <= kMostProducts);
  Products all = {.product = {}, .count = 0, .rows = projections[0].x.rows()};
  int64_t blocks = 0;
  for (const Projection& p : projections) {
    Product& product = all.product[all.count++];
    product = product_base(p.x, p.w->data, p.y, p.bias, p.residual);
    product.vectors = static_cast<int>(p.x.dim(1) / kWidth);
    product.function = p.function;
    product.first_block = static_cast<int>(blocks);
    blocks += ceil_div(product.out, kOutputs);
  }
  launch_chained("project", batch_linear_f32_kernel, dim3(static_cast<unsigned>(blocks)), kThreads, 0, stream, all);
}

}  // namespace linea::cuda
