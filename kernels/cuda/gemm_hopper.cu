// kernels/cuda/gemm_hopper.cu: persistent products of e4m3 matrices on sm_90a with the residual and gate that follow them.
//
// Maths    gemm_hopper.h.
// Shape    SANA-1.6B at 1024²: 2048 rows of 2240 and of 5600, 2240 outputs: 64 pairs of tiles for 66 pairs of multiprocessors.
// Tiles    256 rows × 144 outputs, as device/e4m3_tiles.cuh has it; the producer asks for the residual too, into the second-level cache.
// Ends     sums go through the stages' memory, from which a short loop makes y by rows: code that runs once comes line by line from the
//          second-level cache, and with everything unrolled an end was 25 KB of it, a third of the kernel's time. A thread has eight
//          columns, whose scales, bias and gate come while the tile is multiplied, and every seventh row; of the residual, which was asked
//          into that cache before, four rows are under way while it works on four. The stages are given back when the tile is written. The
//          first warpgroup, which is ahead, ends its part of a tile while the second multiplies.
// Roofline bound by compute: 0.29 ms for 20 products of 2240, 0.54 measured with gate and residual; 0.71 and 0.95 for 5600.
// Accuracy sums in ascending order for every tile, as exact as the tensor cores keep those of e4m3; one rounding of the result.
#include "kernels/cuda/gemm_hopper.h"

#include <algorithm>
#include <limits>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/e4m3_tiles.cuh"
#include "kernels/cuda/device_facts.h"
#include "kernels/cuda/gemm_hopper_kernels.h"
#include "kernels/cuda/tensor_map.h"

namespace linea::cuda {
namespace {

constexpr const char* kOp = "linear";
using Tiles = E4m3Tiles<144>;
using Tile = Tiles::Tile;
constexpr int kRows = Tiles::kRows, kColumns = Tiles::kColumns, kPartRows = Tiles::kPartRows, kSums = Tiles::kSums;
constexpr int kConsumers = Tiles::kConsumers, kStages = Tiles::kStages;
constexpr int kShared = Tiles::kRingBytes + Tiles::kBarriers * static_cast<int>(sizeof(uint64_t));
constexpr int kFetchColumns = 64;  // of the residual, in a box of kPartRows
static_assert(kShared <= 227 << 10);

// What follows the sums and the bias; the last two: a gate for all rows of a tile, or one for each row.
enum class End : uint8_t { kResidual, kGate, kRowGates };

struct Params {
  TileOperands operands;
  CUtensorMap residual_boxes;
  void* y;
  const void* residual;
  const float *bias, *gate, *x_scales, *w_scales;  // bias and gate may be null
  int64_t y_pitch, residual_pitch, gate_pitch;
  int rows, out, rows_per_gate;
  int turns;  // of the stages in a tile: steps, but all stages at least, and an even number
};

#if LINEA_HOPPER_CODE

__device__ void fetch_residual(const Params& p, const Tile& tile) {
  for (int column = 0; column < kColumns; column += kFetchColumns) {
    prefetch_box(p.residual_boxes, tile.column + column, tile.row);
    prefetch_box(p.residual_boxes, tile.column + column, tile.row + kPartRows);
  }
}

// ---- From sums to y ---------------------------------------------------------------------------------------------------------------

// The first warpgroup's sums go into the first two of a tile's last four stages, when the second has multiplied them; the second's go into
// the others, when the first is through with the tile.
__device__ inline void let_first_group_put() { asm volatile("bar.arrive 4, 256;" ::: "memory"); }
__device__ inline void let_second_group_put() { asm volatile("bar.arrive 5, 256;" ::: "memory"); }
__device__ inline void wait_to_put(int group) { asm volatile("bar.sync %0, 256;" ::"r"(4 + group) : "memory"); }

// A warpgroup's sums in shared memory: for each 8 columns the first four in one plane, the others in a second, such that neither the
// threads that have sums nor those that take eight columns of a row meet in a bank.
constexpr int kPlanePitch = kColumns / 2 + 4, kPlane = kPartRows * kPlanePitch + 16, kStaged = 2 * kPlane;  // floats
static_assert(kStages == 4 && kStaged * static_cast<int>(sizeof(float)) <= 2 * Tiles::kStageBytes);

__device__ void put_sums(float* staged, const float (&sums)[2][kSums]) {
  const int thread = static_cast<int>(threadIdx.x) % 128, q = thread % 4;
  float* own = staged + q / 2 * kPlane + (thread / 32 * 16 + thread % 32 / 4) * kPlanePitch + q % 2 * 2;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
#pragma unroll
    for (int j = 0; j < kColumns / 8; ++j) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        *reinterpret_cast<float2*>(own + (64 * h + 8 * r) * kPlanePitch + 4 * j) = {sums[h][4 * j + 2 * r], sums[h][4 * j + 2 * r + 1]};
      }
    }
  }
}

// One thread's part of a warpgroup's rows: 8 columns of every kStride-th.
template <class T, End kEnd> class Finish {
 public:
  static constexpr int kChunks = kColumns / 8, kStride = 128 / kChunks, kTogether = 4;
  static constexpr int kTurns = (kPartRows + kStride * kTogether - 1) / (kStride * kTogether);

  __device__ Finish(const Params& p, const Tile& tile, int group) : p_(p) {
    const int thread = static_cast<int>(threadIdx.x % 128), first = thread / kChunks;
    row_ = tile.row + group * kPartRows + first;
    column_ = tile.column + thread % kChunks * 8;
    staged_ = first * kPlanePitch + thread % kChunks * 4;
    rows_left_ = first < kStride && column_ < p.out ? min(kPartRows - first, p.rows - row_) : 0;
    if (rows_left_ <= 0) return;
    x_scale_ = p.x_scales + row_;
    y_ = static_cast<T*>(p.y) + row_ * p.y_pitch + column_;
    asked_ = static_cast<const T*>(p.residual) + row_ * p.residual_pitch + column_;
    linea::cuda::load(p.w_scales + column_, scale_);
    if (p.bias) linea::cuda::load(p.bias + column_, bias_);
    if (kEnd == End::kGate) linea::cuda::load(p.gate + row_ / p.rows_per_gate * p.gate_pitch + column_, gate_);
  }

  // Asks for what the next rows need besides their sums, which begin `ahead` of those that are stored next.
  __device__ void ask(int ahead) {
    const int64_t step = kStride * p_.residual_pitch;
#pragma unroll
    for (int i = 0; i < kTogether; ++i, asked_ += step) {
      if ((ahead + i) * kStride >= rows_left_) continue;
      x_scales_[i] = x_scale_[(ahead + i) * kStride];
      residual_[i] = *reinterpret_cast<const uint4*>(asked_);
    }
  }

  // After ask(0).
  __device__ void store_all(const float* staged) {
    staged += staged_;
    const int64_t step = kStride * p_.y_pitch;
#pragma unroll 1
    for (int turn = 0; turn < kTurns; ++turn) {
      float x_scales[kTogether];
      uint4 residual[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; ++i) x_scales[i] = x_scales_[i], residual[i] = residual_[i];
      ask(kTogether);
#pragma unroll
      for (int i = 0; i < kTogether; ++i, y_ += step) {
        if (i * kStride < rows_left_) store_row(staged + i * kStride * kPlanePitch, i * kStride, x_scales[i], residual[i]);
      }
      staged += kTogether * kStride * kPlanePitch;
      rows_left_ -= kTogether * kStride;
      x_scale_ += kTogether * kStride;
      row_ += kTogether * kStride;
    }
  }

 private:
  static constexpr bool kGate = kEnd >= End::kGate;

  __device__ void store_row(const float* sums, int below, float x_scale, const uint4& residual) {
    const float4 low = *reinterpret_cast<const float4*>(sums), high = *reinterpret_cast<const float4*>(sums + kPlane);
    const float c[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    const uint32_t words[4] = {residual.x, residual.y, residual.z, residual.w};
    if (kEnd == End::kRowGates) linea::cuda::load(p_.gate + (row_ + below) / p_.rows_per_gate * p_.gate_pitch + column_, gate_);
    float v[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) v[j] = fmaf(c[j], x_scale * scale_[j], bias_[j]);
#pragma unroll
    for (int j = 0; j < 8; j += 2) {
      float other[2];
      unpack_pair<T>(words[j / 2], other[0], other[1]);
#pragma unroll
      for (int k = 0; k < 2; ++k) v[j + k] = kGate ? fmaf(v[j + k], gate_[j + k], other[k]) : v[j + k] + other[k];
    }
    linea::cuda::store(y_, v);
  }

  const Params& p_;
  int row_, column_, staged_;
  int rows_left_;  // of the part from row_ on; 0 where this thread has no columns
  const float* x_scale_;
  T* y_;
  const T* asked_;
  float scale_[8], bias_[8] = {}, gate_[8];
  float x_scales_[kTogether];
  uint4 residual_[kTogether];
};

// By the threads of a consuming warpgroup.
template <class T, End kEnd> __device__ void consume(const Params& p, Tiles::Ring ring, int group, int rank, int first, int clusters) {
  const bool speaks = threadIdx.x % 128 == 0;
  const int last_turns = p.turns - 2;
  for (int index = first; index < p.operands.all_tiles; index += clusters) {
    Finish<T, kEnd> end(p, Tile::of(p.operands, index, rank), group);
    float sums[2][kSums];
    Tiles::begin_sums(sums);
    Tiles::multiply<kStages>(p.operands, p.turns, ring, sums, group, index == first, [&](int step) {
      if (group == 1 && step == last_turns) let_first_group_put();
    });
    end.ask(0);
    if (group == 1 && p.operands.steps <= last_turns) let_first_group_put();
    if (group == 0) let_second_group_put();
    const int own = (ring.stage + 2 * group) % kStages, others = (own + 2) % kStages;
    if (speaks) ring.release(others), ring.release(others + 1);
    wait_to_put(group);
    float* staged = reinterpret_cast<float*>(ring.stages + own * Tiles::kStageBytes);
    put_sums(staged, sums);
    wait_for_group(group);
    end.store_all(staged);
    publish_shared();
    wait_for_group(group);
    if (speaks) ring.release(own), ring.release(own + 1);
  }
}

#endif

template <class T, End kEnd> __global__ void __launch_bounds__(Tiles::kThreads, 1) ended_gemm_kernel(const __grid_constant__ Params p) {
#if LINEA_HOPPER_CODE
  extern __shared__ __align__(1024) unsigned char shared_bytes[];
  const Tiles::Ring ring(shared_bytes, reinterpret_cast<uint64_t*>(shared_bytes + Tiles::kRingBytes));
  Tiles::begin(ring);
  const int group = static_cast<int>(threadIdx.x / 128), rank = cluster_rank();
  const int first = static_cast<int>(blockIdx.x / Tiles::kCluster), clusters = static_cast<int>(gridDim.x / Tiles::kCluster);
  if (group == kConsumers) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    const auto before = [&](const Tile& tile, int turn) {
      if (turn == kStages) fetch_residual(p, tile);
    };
    if (threadIdx.x % 128 == 0) Tiles::produce(p.operands, ring, rank, first, clusters, p.turns, follow_previous, before);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    follow_previous();
    consume<T, kEnd>(p, ring, group, rank, first, clusters);
  }
  Tiles::end();
#endif
}

CUtensorMap matrix_map(DType type, const void* data, int64_t rows, int64_t columns, int64_t pitch, int box_rows, int box_columns) {
  const int64_t dims[] = {columns, rows}, pitches[] = {pitch * bytes_of(type)};
  const int box[] = {box_columns, box_rows};
  return tensor_map(kOp, type, data, dims, pitches, box);
}

template <class T, End kEnd> void launch(cudaStream_t stream, const Params& p, int device) {
  const int clusters = std::min(p.operands.all_tiles, processors_of(device) / Tiles::kCluster);
  allow_shared(ended_gemm_kernel<T, kEnd>, kShared, kOp);
  launch_chained_clusters(kOp, ended_gemm_kernel<T, kEnd>, static_cast<unsigned>(clusters * Tiles::kCluster), Tiles::kThreads, kShared,
                          stream, Tiles::kCluster, p);
}

template <class T> void launch(cudaStream_t stream, const HopperGemm& call, const Params& p, int device) {
  if (!call.gate) return launch<T, End::kResidual>(stream, p, device);
  if (call.rows_per_gate % kRows == 0) return launch<T, End::kGate>(stream, p, device);
  launch<T, End::kRowGates>(stream, p, device);
}

}  // namespace

bool suits_hopper_gemm(const HopperGemm& call) {
  constexpr int64_t kMost = std::numeric_limits<int>::max() / 2;
  return (call.type == DType::kBF16 || call.type == DType::kF16) && call.rows > 0 && call.rows < kMost && call.out < kMost &&
         call.in < kMost && call.out % 16 == 0 && (!call.gate || call.residual) && is_aligned(call.x, call.in) &&
         is_aligned(call.w, call.in) && is_aligned(call.y, call.y_pitch * 2) && is_aligned(call.residual, call.residual_pitch * 2) &&
         is_aligned(call.bias, 0) && is_aligned(call.gate, call.gate_pitch * 4) && is_aligned(call.w_scales, 0);
}

TileOperands tile_operands(const HopperGemm& call, int columns) {
  TileOperands p = {};
  p.x = matrix_map(DType::kF8E4M3, call.x, call.rows, call.in, call.in, kPartRows, Tiles::kDepth);
  p.w = matrix_map(DType::kF8E4M3, call.w, call.out, call.in, call.in, columns, Tiles::kDepth);
  p.steps = static_cast<int>(ceil_div(call.in, Tiles::kDepth));
  p.full_steps = static_cast<int>(call.in / Tiles::kDepth);
  p.rest = static_cast<int>(ceil_div(call.in % Tiles::kDepth, Tiles::kDepthOfProduct));
  p.row_tiles = static_cast<int>(ceil_div(call.rows, kRows));
  p.all_tiles = static_cast<int>(p.row_tiles * ceil_div(call.out, columns * Tiles::kCluster));
  return p;
}

void ended_gemm(cudaStream_t stream, const HopperGemm& call, int device) {
  Params p = {};
  p.operands = tile_operands(call, kColumns);
  p.residual_boxes = matrix_map(call.type, call.residual, call.rows, call.out, call.residual_pitch, kPartRows, kFetchColumns);
  p.y = call.y;
  p.residual = call.residual;
  p.bias = call.bias;
  p.gate = call.gate;
  p.x_scales = call.x_scales;
  p.w_scales = call.w_scales;
  p.y_pitch = call.y_pitch;
  p.residual_pitch = call.residual_pitch;
  p.gate_pitch = call.gate_pitch;
  p.rows = static_cast<int>(call.rows);
  p.out = static_cast<int>(call.out);
  p.rows_per_gate = static_cast<int>(call.rows_per_gate);
  p.turns = std::max(p.operands.steps + p.operands.steps % 2, kStages);
  with_type(call.type, kOp, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (sizeof(T) == 2) launch<T>(stream, call, p, device);
  });
}

void hopper_gemm(cudaStream_t stream, const HopperGemm& call, int device) {
  call.residual ? ended_gemm(stream, call, device) : plain_gemm(stream, call, device);
}

}  // namespace linea::cuda
