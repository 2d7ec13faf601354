// kernels/cuda/batch_linear.cu: products of 16-bit matrices with 5 to 64 rows, several in one launch, on sm_90a.
//
// Maths    y[r, o] = residual + f(bias[o] + Σ_i W[o, i] x[r, i])
// Shape    64 texts of RWKV-7 7.2B: W of 4096×4096 three times and of 96 to 480 × 4096 at once, then 4096×4096, 16384×4096, 4096×16384.
// Tiles    a block takes 80 to 144 outputs of all rows and a share of the sum, so that one wave of blocks has all; the blocks of a cluster
//          have the shares of one tile and add them up in each other's shared memory. One thread asks the copy engine for W and x by
//          chunks of 64 channels, as many ahead as 200 KB hold; the first of W before the kernel before has ended. A warpgroup multiplies.
// Traffic  W once from memory; x, a third to two thirds of W's bytes, from the second-level cache.
// Roofline bound by memory: 12 µs at 2.8 TB/s for 4096×4096, 22 measured; 48 and 53 for 16384×4096; 40 and 44 for the seven together.
// Accuracy f32, one rounding. The order of a sum depends on the shapes of the launch's matrices and the device alone.
#include "kernels/cuda/batch_linear.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include <cooperative_groups.h>

#include "kernels/cuda/device/batch_ending.cuh"
#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/device_facts.h"
#include "kernels/cuda/tensor_map.h"

namespace linea::cuda {
namespace {

constexpr int kMostRows = 64, kChannels = 64, kRowBytes = 2 * kChannels;  // of a chunk
constexpr int kConsumers = 128, kThreads = kConsumers + 32;
constexpr int kMostStages = 10, kStagesBytes = 200 << 10;
constexpr int64_t kMostElements = int64_t{128} << 20;  // of a matrix; with larger ones the library comes near memory's rate too

// A launch's products with the maps that they are copied by.
struct Params {
  CUtensorMap x[kMostProducts], w[kMostProducts];
  Products all;
};

// Blocks that take kOutputs outputs. The sums take the stages' place in the end; their pitch keeps a warp's stores on different banks.
template <int kOutputs> struct Form {
  static constexpr int kXBytes = kMostRows * kRowBytes, kStageBytes = kXBytes + kOutputs * kRowBytes;
  static constexpr int kStages = std::min(kMostStages, kStagesBytes / kStageBytes);
  static constexpr int kSumPitch = kOutputs + (40 - kOutputs % 32) % 32;
  static constexpr int kShared = 1024 + kStages * kStageBytes + 2 * kStages * static_cast<int>(sizeof(uint64_t));
  static_assert(kStageBytes % 1024 == 0 && kMostRows * kSumPitch * 4 <= kStages * kStageBytes && kShared <= 227 << 10);
};

#if LINEA_HOPPER_CODE

// What a block works on: outputs of a product, and chunks of the sum.
struct Part {
  int product, first_output, begin, end;

  __device__ Part(const Products& all, int outputs) {
    product = all.count - 1;
    while (static_cast<int>(blockIdx.x) < all.product[product].first_block) --product;
    const Product& p = all.product[product];
    const int chunks = p.vectors, shares = static_cast<int>(gridDim.y), share = (chunks + shares - 1) / shares;
    first_output = (static_cast<int>(blockIdx.x) - p.first_block) * outputs;
    begin = min(static_cast<int>(blockIdx.y) * share, chunks);
    end = min(begin + share, chunks);
  }
};

template <int kOutputs> struct Ring {
  using F = Form<kOutputs>;
  unsigned char* stages;
  uint64_t *full, *empty;
  int stage = 0, parity = 0;

  __device__ explicit Ring(unsigned char* bytes) {
    stages = bytes + (1024 - shared_address(bytes) % 1024) % 1024;
    full = reinterpret_cast<uint64_t*>(stages + F::kStages * F::kStageBytes);
    empty = full + F::kStages;
  }
  __device__ void init_barriers() const {
    for (int i = 0; i < F::kStages; ++i) {
      init_barrier(full + i, 1);
      init_barrier(empty + i, 1);
    }
    publish_barriers();
  }
  __device__ unsigned char* bytes() const { return stages + stage * F::kStageBytes; }
  __device__ void advance() {
    if (++stage < F::kStages) return;
    stage = 0;
    parity ^= 1;
  }
};

// By one thread. What the kernels before do not write, W, is asked for before they have ended.
template <int kOutputs> __device__ void produce(const Params& p, const Part& part, Ring<kOutputs> ring) {
  using F = Form<kOutputs>;
  const CUtensorMap &x = p.x[part.product], &w = p.w[part.product];
  const int first = min(part.end - part.begin, F::kStages);
  for (int i = 0; i < first; ++i) {
    arrive_expecting(ring.full + i, F::kStageBytes);
    copy_box(ring.stages + i * F::kStageBytes + F::kXBytes, w, ring.full + i, (part.begin + i) * kChannels, part.first_output);
  }
  follow_previous();
  for (int i = 0; i < first; ++i) copy_box(ring.stages + i * F::kStageBytes, x, ring.full + i, (part.begin + i) * kChannels, 0);
  for (int chunk = part.begin + first; chunk < part.end; ++chunk) {
    wait_phase(ring.empty + ring.stage, ring.parity);
    uint64_t* full = ring.full + ring.stage;
    arrive_expecting(full, F::kStageBytes);
    copy_box(ring.bytes() + F::kXBytes, w, full, chunk * kChannels, part.first_output);
    copy_box(ring.bytes(), x, full, chunk * kChannels, 0);
    ring.advance();
  }
}

// By a warpgroup.
template <class T, int kOutputs> __device__ void multiply_part(const Part& part, Ring<kOutputs> ring, float (&sums)[kOutputs / 2]) {
  int previous = -1;
  for (int chunk = part.begin; chunk < part.end; ++chunk) {
    wait_phase(ring.full + ring.stage, ring.parity);
    const uint64_t x = matrix_descriptor(ring.bytes()), w = matrix_descriptor(ring.bytes() + Form<kOutputs>::kXBytes);
    begin_products();
#pragma unroll
    for (int k = 0; k < kChannels / 16; ++k) multiply_group<T>(sums, x + 2 * k, w + 2 * k);
    commit_products();
    wait_products<1>();  // of the chunk before, whose stage may be filled again
    if (previous >= 0 && threadIdx.x == 0) arrive(ring.empty + previous);
    previous = ring.stage;
    ring.advance();
  }
  wait_products<0>();
}

template <int kOutputs> __device__ inline void store_sums(float* to, const float (&sums)[kOutputs / 2]) {
  constexpr int kPitch = Form<kOutputs>::kSumPitch;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  float* row = to + (16 * warp + lane / 4) * kPitch + 2 * (lane % 4);
#pragma unroll
  for (int j = 0; j < kOutputs / 8; ++j) {
    *reinterpret_cast<float2*>(row + 8 * j) = {sums[4 * j], sums[4 * j + 1]};
    *reinterpret_cast<float2*>(row + 8 * kPitch + 8 * j) = {sums[4 * j + 2], sums[4 * j + 3]};
  }
}

// A thread's rows of this block's part of the outputs; false where it has none.
template <int kOutputs> __device__ inline bool own_rows(const Product& p, float* own, int first_output, int rows, EndingRows& ending) {
  constexpr int kPitch = Form<kOutputs>::kSumPitch;
  const auto cluster = cooperative_groups::this_cluster();
  const int shares = static_cast<int>(cluster.num_blocks()), columns = kOutputs / shares, vectors = columns / kEndingWidth;
  const int row = static_cast<int>(threadIdx.x) / vectors;
  const int column = static_cast<int>(cluster.block_rank()) * columns + static_cast<int>(threadIdx.x) % vectors * kEndingWidth;
  ending.rows = rows;
  ending.step = kThreads / vectors;
  ending.sum_pitch = kPitch;
  ending.share_count = shares;
#pragma unroll
  for (int s = 0; s < kMostShares; ++s) {
    ending.shares[s] = cluster.map_shared_rank(own, static_cast<unsigned>(min(s, shares - 1))) + row * kPitch + column;
  }
  if (row >= ending.step || first_output + column >= p.out) return false;
  ending.prepare(p, row, first_output + column);
  return true;
}

#endif

template <class T, int kOutputs> __global__ void __launch_bounds__(kThreads, 1) batch_linear_kernel(const __grid_constant__ Params p) {
#if LINEA_HOPPER_CODE
  extern __shared__ unsigned char shared_bytes[];
  const Ring<kOutputs> ring(shared_bytes);
  if (threadIdx.x == 0) ring.init_barriers();
  __syncthreads();
  const Part part(p.all, kOutputs);
  auto* sums = reinterpret_cast<float*>(ring.stages);
  if (threadIdx.x >= kConsumers) {
    if (threadIdx.x == kConsumers) produce(p, part, ring);
    follow_previous();
  } else {
    follow_previous();
    float own[kOutputs / 2] = {};
    multiply_part<T, kOutputs>(part, ring, own);
    store_sums<kOutputs>(sums, own);
  }
  EndingRows ending;
  const Product& product = p.all.product[part.product];
  const bool ends = own_rows<kOutputs>(product, sums, part.first_output, static_cast<int>(p.all.rows), ending);
  cooperative_groups::this_cluster().sync();
  if (ends) finish_rows_of(ending, product);
  cooperative_groups::this_cluster().sync();  // others may still read this block's sums
#endif
}

CUtensorMap map_of(const Tensor& matrix, int64_t pitch, int box_rows) {
  const int64_t dims[] = {matrix.dim(-1), matrix.rows()}, pitches[] = {pitch * bytes_of(matrix.dtype())};
  const int box[] = {kChannels, box_rows};
  return tensor_map("project", matrix.dtype(), matrix.raw(), dims, pitches, box);
}

template <class T, int kOutputs> void launch_form(std::span<const Projection> projections, int shares, cudaStream_t stream) {
  Params p = {};
  p.all.rows = projections[0].x.rows();
  int64_t blocks = 0;
  for (const Projection& projection : projections) {
    const int index = p.all.count++;
    Product& product = p.all.product[index];
    product = product_base(projection.x, projection.w->data, projection.y, projection.bias, projection.residual);
    product.vectors = static_cast<int>(ceil_div(projection.x.dim(1), kChannels));  // chunks, here
    product.function = projection.function;
    product.first_block = static_cast<int>(blocks);
    blocks += ceil_div(product.out, kOutputs);
    p.x[index] = map_of(projection.x, projection.x.row_pitch(), kMostRows);
    p.w[index] = map_of(projection.w->data, projection.x.dim(1), kOutputs);
  }
  constexpr auto kKernel = batch_linear_kernel<T, kOutputs>;
  allow_shared(kKernel, Form<kOutputs>::kShared, "project");
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(shares));
  launch_chained_clusters("project", kKernel, grid, kThreads, Form<kOutputs>::kShared, stream, dim3(1, grid.y), p);
}

// ---- How many outputs a block takes, and how many blocks share a sum ------------------------------------------------------------------

struct Tiles {
  int outputs, shares;
};

// Blocks that run at a time on a device, in clusters of so many; groups of multiprocessors hold whole clusters only.
int places_of(int device, int shares) {
  static std::mutex mutex;
  static auto& known = *new std::map<std::pair<int, int>, int>;
  const std::lock_guard lock(mutex);
  const auto [place, is_new] = known.emplace(std::pair(device, shares), 0);
  if (is_new) {
    constexpr auto kKernel = batch_linear_kernel<__half, 128>;
    constexpr int kAlone = 200 << 10;  // bytes of a block that has a multiprocessor for itself
    allow_shared(kKernel, kAlone, "project");
    cudaLaunchAttribute cluster = {};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {1, static_cast<unsigned>(shares), 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(1, static_cast<unsigned>(shares));
    config.blockDim = kThreads;
    config.dynamicSmemBytes = kAlone;
    config.attrs = &cluster;
    config.numAttrs = 1;
    int clusters = 0;
    check(cudaOccupancyMaxActiveClusters(&clusters, kKernel, &config), "project", "cudaOccupancyMaxActiveClusters");
    place->second = std::max(clusters, 1) * shares;
  }
  return place->second;
}

// Cycles that a launch would take: of memory, or of the blocks that a multiprocessor has in turn, each of which takes what the second-level
// cache gives it, and what comes before and after its sums.
double cycles_of(const Tiles& tiles, std::span<const Projection> projections, int places) {
  constexpr double kMemoryBytes = 1500, kCacheBytes = 20;  // a cycle: of the machine, of a multiprocessor
  constexpr double kBlockCycles = 4000, kShareCycles = 1500;
  double bytes = 0;
  int64_t blocks = 0, most_chunks = 0;
  for (const Projection& p : projections) {
    bytes += static_cast<double>(p.w->data.bytes());
    blocks += ceil_div(p.y.dim(-1), tiles.outputs) * tiles.shares;
    most_chunks = std::max(most_chunks, ceil_div(ceil_div(p.x.dim(1), kChannels), tiles.shares));
  }
  const double block = static_cast<double>(most_chunks * (tiles.outputs + kMostRows) * kRowBytes) / kCacheBytes + kBlockCycles +
                       (tiles.shares > 1 ? kShareCycles : 0);
  return std::max(bytes / kMemoryBytes, static_cast<double>(ceil_div(blocks, places)) * block);
}

template <int... kOutputs> struct Choices {
  static Tiles choose(std::span<const Projection> projections, int device) {
    Tiles best = {};
    double fewest = 0;
    for (const int outputs : {kOutputs...}) {
      for (int shares = 1; shares <= kMostShares && outputs % (shares * kEndingWidth) == 0; shares *= 2) {
        const Tiles tiles = {outputs, shares};
        const double cycles = cycles_of(tiles, projections, places_of(device, shares));
        if (best.outputs == 0 || cycles < fewest) best = tiles, fewest = cycles;
      }
    }
    return best;
  }
  template <class T> static void launch(std::span<const Projection> projections, const Tiles& tiles, cudaStream_t stream) {
    ((tiles.outputs == kOutputs && (launch_form<T, kOutputs>(projections, tiles.shares, stream), true)) || ...);
  }
};
using Forms = Choices<128, 144, 104, 96, 80>;

}  // namespace

bool fits_batch(const Projection& p) {
  const DType type = p.x.dtype();
  const int64_t in = p.x.dim(1);
  return (type == DType::kF16 || type == DType::kBF16) && p.w->data.dtype() == type && p.x.rows() <= kMostRows && has_ending_vectors(p) &&
         p.w->data.elements() <= kMostElements && is_aligned(p.x.raw(), p.x.row_pitch() * bytes_of(type)) &&
         is_aligned(p.w->data.raw(), in * bytes_of(type)) && is_hopper(p.x.device().index) && has_tensor_maps();
}

void batch_projections(cudaStream_t stream, std::span<const Projection> projections) {
  LINEA_ASSERT(projections.size() <= kMostProducts);
  const Tiles tiles = Forms::choose(projections, projections[0].x.device().index);
  projections[0].x.dtype() == DType::kF16 ? Forms::launch<__half>(projections, tiles, stream)
                                          : Forms::launch<__nv_bfloat16>(projections, tiles, stream);
}

}  // namespace linea::cuda
