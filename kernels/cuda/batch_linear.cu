// kernels/cuda/batch_linear.cu: products of matrices with 5 to 64 rows, several in one launch.
//
// Maths    y[r, o] = residual + f(bias[o] + Σ_i W[o, i] x[r, i])
// Shape    64 texts of RWKV-7 7.2B: W of four low-rank products at once, 96 to 480 × 4096 and back; large matrices are left to the library
// Tiles    a block takes 128 outputs of all rows and a share of the sum; the blocks of a cluster have the shares of one tile and add them
// up
//          in each other's shared memory, so that small matrices fill the machine too. W and x come in chunks of 64 channels through four
//          stages of shared memory; eight warps multiply 32 outputs by 32 rows each on tensor cores.
// Traffic  W once from memory; x, half of W's bytes, from the second-level cache.
// Roofline bound by memory: 12 µs at 2.8 TB/s for 4096×4096, where 33 were measured and 17 for the library; by its latency for small ones.
// Accuracy f32, one rounding. The order of a sum depends on the shapes of the launch's matrices alone.
#include "kernels/cuda/batch_linear.h"

#include <cooperative_groups.h>

#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/products.cuh"

namespace linea::cuda {
namespace {

constexpr int kOutputs = 128, kMostRows = 64, kChannels = 64, kStages = 4, kThreads = 256, kMostShares = 8;
constexpr int kVectorElements = 8, kRowVectors = kChannels / kVectorElements;  // of a row of a stage
constexpr int kPlaces = 264;                                                   // blocks that an H100 holds at once
constexpr int kLeastChunks = 4;                                                // of a share

template <class T> struct Stage { T w[kOutputs][kChannels], x[kMostRows][kChannels]; };

// The sums, by rows of x; the pitch keeps a warp's stores on different banks.
constexpr int kSumPitch = kOutputs + 4;
using Sums = float[kMostRows][kSumPitch];

// Vectors of a row lie permuted, so that the eight rows of a matrix fragment meet different banks.
template <class T> __device__ inline T* place(T* row, int index, int vector) { return row + (vector ^ index % 8) * kVectorElements; }

template <class T> struct Loader {
  const Product& p;
  int first_output, rows;

  __device__ void load_w(Stage<T>& stage, int chunk) const {
    const T* w = static_cast<const T*>(p.w);
    const int in = p.vectors * kVectorElements, vector = static_cast<int>(threadIdx.x) % kRowVectors;
    const int channel = chunk * kChannels + vector * kVectorElements;
#pragma unroll
    for (int i = 0; i < kOutputs * kRowVectors / kThreads; ++i) {
      const int row = (static_cast<int>(threadIdx.x) + i * kThreads) / kRowVectors, output = first_output + row;
      const bool valid = output < p.out && channel < in;
      copy_async_16(place(stage.w[row], row, vector), valid ? w + static_cast<int64_t>(output) * in + channel : w, valid);
    }
  }
  __device__ void load_x(Stage<T>& stage, int chunk) const {
    const T* x = static_cast<const T*>(p.x);
    const int in = p.vectors * kVectorElements, vector = static_cast<int>(threadIdx.x) % kRowVectors;
    const int channel = chunk * kChannels + vector * kVectorElements;
#pragma unroll
    for (int i = 0; i < kMostRows * kRowVectors / kThreads; ++i) {
      const int row = (static_cast<int>(threadIdx.x) + i * kThreads) / kRowVectors;
      const bool valid = row < rows && channel < in;
      copy_async_16(place(stage.x[row], row, vector), valid ? x + row * p.x_pitch + channel : x, valid);
    }
  }
};

// A warp's 32 outputs by 32 rows.
struct Tile {
  float sums[2][4][4] = {};  // 16 outputs by 8 rows each

  template <class T> __device__ void add(Stage<T>& stage, int first_output, int first_row, int lane) {
#pragma unroll
    for (int k = 0; k < kChannels / 16; ++k) {
      uint32_t a[2][4], b[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {  // of W: 16 outputs by 16 channels, in the order that the product wants
        const int row = first_output + 16 * i + lane % 16;
        load_matrices(a[i], place(stage.w[row], row, 2 * k + lane / 16));
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {  // of x: two groups of 8 rows by 16 channels
        const int row = first_row + 16 * i + lane / 16 * 8 + lane % 8;
        load_matrices(b[i], place(stage.x[row], row, 2 * k + lane / 8 % 2));
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) multiply<T>(sums[i][j], a[i], b[j / 2][2 * (j % 2)], b[j / 2][2 * (j % 2) + 1]);
      }
    }
  }

  __device__ void store(Sums& to, int first_output, int first_row, int lane) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
#pragma unroll
        for (int c = 0; c < 4; ++c)
          to[first_row + 8 * j + 2 * (lane % 4) + c % 2][first_output + 16 * i + lane / 4 + c / 2 * 8] = sums[i][j][c];
      }
    }
  }
};

// The sum over a cluster's shares, and what ends it, for this block's part of the outputs. A thread has one output; what it reads for
// several rows is on its way together.
__device__ inline void finish_tile(const Product& p, Sums& own, int first_output, int rows) {
  namespace cg = cooperative_groups;
  constexpr int kTogether = 8;
  const cg::cluster_group cluster = cg::this_cluster();
  const int shares = static_cast<int>(cluster.num_blocks()), part = kOutputs / shares, step = kThreads / part;
  const int column = static_cast<int>(cluster.block_rank()) * part + static_cast<int>(threadIdx.x) % part, output = first_output + column;
  if (output >= p.out) return;
  for (int first = static_cast<int>(threadIdx.x) / part; first < rows; first += step * kTogether) {
    float sums[kTogether] = {};
    Ending endings[kTogether];
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
      if (first + i * step < rows) endings[i].read(p, first + i * step, output);
    }
    for (int s = 0; s < shares; ++s) {
      const float* parts = cluster.map_shared_rank(&own[0][0], static_cast<unsigned>(s)) + column;
#pragma unroll
      for (int i = 0; i < kTogether; ++i) sums[i] += parts[min(first + i * step, kMostRows - 1) * kSumPitch];
    }
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
      if (first + i * step < rows) endings[i].store(p, first + i * step, output, sums[i]);
    }
  }
}

template <class T> __global__ void __launch_bounds__(kThreads, 2) batch_linear_kernel(const __grid_constant__ Products all) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) char memory[];
  auto* stages = reinterpret_cast<Stage<T>*>(memory);
  const Product& p = product_of_block(all);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int first_output = (static_cast<int>(blockIdx.x) - p.first_block) * kOutputs, rows = static_cast<int>(all.rows);
  const int chunks = (p.vectors * kVectorElements + kChannels - 1) / kChannels,
            share = (chunks + static_cast<int>(gridDim.y) - 1) / static_cast<int>(gridDim.y);
  const int begin = static_cast<int>(blockIdx.y) * share, end = min(begin + share, chunks);
  const Loader<T> loader = {p, first_output, rows};
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    if (begin + s < end) loader.load_w(stages[s], begin + s);
  }
  follow_previous();
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    if (begin + s < end) loader.load_x(stages[s], begin + s);
    commit_copies();
  }
  const int own_output = warp % 4 * 32, own_row = warp / 4 * 32;
  Tile tile;
  for (int chunk = begin; chunk < end; ++chunk) {
    const int next = chunk + kStages - 1;
    wait_copies<kStages - 2>();
    __syncthreads();  // the chunk is there for all, and the stage of the one before may be filled anew
    if (next < end) {
      loader.load_w(stages[(next - begin) % kStages], next);
      loader.load_x(stages[(next - begin) % kStages], next);
    }
    commit_copies();
    if (own_row < rows) tile.add(stages[(chunk - begin) % kStages], own_output, own_row, lane);
  }
  wait_copies<0>();
  __syncthreads();
  auto& sums = *reinterpret_cast<Sums*>(memory);
  tile.store(sums, own_output, own_row, lane);
  cooperative_groups::this_cluster().sync();
  finish_tile(p, sums, first_output, rows);
  cooperative_groups::this_cluster().sync();  // others may still read this block's sums
#endif
}

template <class T> void launch(const Products& all, int64_t blocks, int64_t shares, cudaStream_t stream) {
  constexpr auto kKernel = batch_linear_kernel<T>;
  constexpr size_t kBytes = std::max(kStages * sizeof(Stage<T>), sizeof(Sums));
  allow_shared(kKernel, kBytes, "project");
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(shares));
  launch_chained_clusters("project", kKernel, grid, kThreads, kBytes, stream, dim3(1, grid.y), all);
}

// How many blocks share a sum: as many as the machine holds, while a share is worth a block.
int64_t shares_of(int64_t blocks, int64_t fewest_chunks) {
  int64_t shares = 1;
  while (shares < kMostShares && blocks * shares * 2 <= kPlaces && fewest_chunks >= shares * 2 * kLeastChunks) shares *= 2;
  return shares;
}

}  // namespace

bool fits_batch(const Projection& p) {
  const DType type = p.x.dtype();
  const int64_t in = p.x.dim(1);
  return (type == DType::kF16 || type == DType::kBF16) && p.w->data.dtype() == type && p.x.rows() <= kMostRows &&
         in % kVectorElements == 0 && is_aligned(p.x.raw(), p.x.row_pitch() * bytes_of(type)) &&
         is_aligned(p.w->data.raw(), in * bytes_of(type)) && chains_kernels();
}

void batch_projections(cudaStream_t stream, std::span<const Projection> projections) {
  Products all = {.product = {}, .count = 0, .rows = projections[0].x.rows()};
  int64_t blocks = 0, fewest_chunks = INT64_MAX;
  LINEA_ASSERT(projections.size() <= kMostProducts);
  for (const Projection& p : projections) {
    Product& product = all.product[all.count++];
    product = product_base(p.x, p.w->data, p.y, p.bias, p.residual);
    product.vectors = static_cast<int>(p.x.dim(1) / kVectorElements);
    product.function = p.function;
    product.first_block = static_cast<int>(blocks);
    blocks += ceil_div(product.out, kOutputs);
    fewest_chunks = std::min(fewest_chunks, ceil_div(p.x.dim(1), kChannels));
  }
  const int64_t shares = shares_of(blocks, fewest_chunks);
  projections[0].x.dtype() == DType::kF16 ? launch<__half>(all, blocks, shares, stream)
                                          : launch<__nv_bfloat16>(all, blocks, shares, stream);
}

}  // namespace linea::cuda
