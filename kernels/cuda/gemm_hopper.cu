// kernels/cuda/gemm_hopper.cu: persistent products of e4m3 matrices on sm_90a with everything that follows them.
//
// Maths    gemm_hopper.h.
// Shape    SANA-1.6B at 1024²: 2048 rows of 2240 and of 5600, 2240 outputs: 64 pairs of tiles for 66 pairs of multiprocessors.
// Tiles    256 rows × 144 outputs, one block a multiprocessor, which takes tile after tile. Two warpgroups multiply 128 rows each; one
//          thread asks the copy engine for stages of 128 bytes of every row, four in turn. A cluster of two blocks has tiles beside each
//          other, and each asks for half of their rows of x on behalf of both.
// Ends     the residual comes to the second-level cache while a tile is multiplied; the threads that write y read it three vectors ahead.
// Roofline bound by compute: 0.29 ms for 20 products of 2240, 0.42 measured with bias, 0.55 with gate and residual; 0.71 and 0.91 for 5600.
// Accuracy sums in ascending order for every tile, as exact as the tensor cores keep those of e4m3; one rounding of the result.
#include "kernels/cuda/gemm_hopper.h"

#include <algorithm>
#include <limits>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/e4m3_products.cuh"
#include "kernels/cuda/device_facts.h"
#include "kernels/cuda/tensor_map.h"

namespace linea::cuda {
namespace {

constexpr const char* kOp = "linear";
constexpr int kRows = 256, kColumns = 144, kPartRows = 128;  // of a tile; a warpgroup's part
constexpr int kCluster = 2, kConsumers = 2, kThreads = (kConsumers + 1) * 128;
constexpr int kDepth = 128;  // of a row in a stage
constexpr int kPartBytes = kPartRows * kDepth, kRowBytes = 2 * kPartBytes, kStageBytes = kRowBytes + kColumns * kDepth, kStages = 4;
constexpr int kShared = kStages * kStageBytes + 1024 + 2 * kStages * static_cast<int>(sizeof(uint64_t));
constexpr int kSums = kColumns / 2;  // of a thread, for each of its two blocks of 64 rows
constexpr int kFetchColumns = 64;    // of the residual, in a box of kPartRows
static_assert(kStageBytes % 1024 == 0 && kShared <= 227 << 10);

// What follows the sums and the bias; the last two: a gate for all rows of a tile, or one for each row.
enum class End : uint8_t { kPlain, kResidual, kGate, kRowGates };

struct Params {
  CUtensorMap x, w, residual_boxes;
  void* y;
  const void* residual;  // may be null, as may bias and gate
  const float *bias, *gate, *x_scales, *w_scales;
  int64_t y_pitch, residual_pitch, gate_pitch;
  int rows, out, rows_per_gate;
  int steps;                 // boxes along a row of x
  int row_tiles, all_tiles;  // of clusters
  End end;
};

struct Tile {
  int row, column;

  // Of block `rank` in the cluster's tile `index`.
  __device__ static Tile of(const Params& p, int index, int rank) {
    return {index % p.row_tiles * kRows, (index / p.row_tiles * kCluster + rank) * kColumns};
  }
};

#if LINEA_HOPPER_CODE

// The stages' memory and barriers, and where in their turn a thread stands.
struct Ring {
  unsigned char* stages;
  uint64_t *full, *empty;
  int stage = 0, parity = 0;

  __device__ explicit Ring(unsigned char* bytes) {
    stages = bytes + (1024 - shared_address(bytes) % 1024) % 1024;
    full = reinterpret_cast<uint64_t*>(stages + kStages * kStageBytes);
    empty = full + kStages;
  }
  __device__ void init_barriers() const {
    for (int i = 0; i < kStages; ++i) {
      init_barrier(full + i, 1);
      init_barrier(empty + i, kConsumers * kCluster);
    }
    publish_barriers();
  }
  __device__ unsigned char* bytes() const { return stages + stage * kStageBytes; }
  __device__ void advance() {
    if (++stage < kStages) return;
    stage = 0;
    parity ^= 1;
  }
  // By one thread of a warpgroup: it has read the stage, into which either block of the cluster writes.
  __device__ void release(int which) const {
    for (int rank = 0; rank < kCluster; ++rank) release_at(empty + which, rank);
  }
};

__device__ void fetch_residual(const Params& p, const Tile& tile) {
  for (int column = 0; column < kColumns; column += kFetchColumns) {
    prefetch_box(p.residual_boxes, tile.column + column, tile.row);
    prefetch_box(p.residual_boxes, tile.column + column, tile.row + kPartRows);
  }
}

// One thread asks for everything, as far ahead of the consumers as there is room.
__device__ void produce(const Params& p, Ring ring, int rank, int first, int clusters) {
  for (int index = first; index < p.all_tiles; index += clusters) {
    const Tile tile = Tile::of(p, index, rank);
    for (int s = 0; s < p.steps; ++s) {
      if (s == kStages && p.residual) fetch_residual(p, tile);
      wait_phase(ring.empty + ring.stage, ring.parity ^ 1);
      unsigned char* bytes = ring.bytes();
      uint64_t* full = ring.full + ring.stage;
      arrive_expecting(full, kStageBytes);
      copy_box_to_all(bytes + rank * kPartBytes, p.x, full, s * kDepth, tile.row + rank * kPartRows, (1 << kCluster) - 1);
      copy_box(bytes + kRowBytes, p.w, full, s * kDepth, tile.column);
      ring.advance();
    }
  }
}

__device__ void multiply_tile(const Params& p, Ring& ring, float (&sums)[2][kSums], int group, bool speaks) {
  constexpr int kNextRows = 64 * kDepth / 16;
  int previous = 0;
  for (int s = 0; s < p.steps; ++s) {
    wait_phase(ring.full + ring.stage, ring.parity);
    const unsigned char* bytes = ring.bytes();
    const uint64_t a = matrix_descriptor(bytes + group * kPartBytes), b = matrix_descriptor(bytes + kRowBytes);
    begin_products();
#pragma unroll
    for (int k = 0; k < kDepth / 32; ++k) {
      multiply_e4m3(sums[0], a + 2 * k, b + 2 * k, s + k);
      multiply_e4m3(sums[1], a + kNextRows + 2 * k, b + 2 * k, s + k);
    }
    commit_products();
    wait_products<1>();  // of the stage before, which may be filled again
    if (s > 0 && speaks) ring.release(previous);
    previous = ring.stage;
    ring.advance();
  }
  wait_products<0>();
  if (speaks) ring.release(previous);
}

// Word i of lane q of four becomes word q of lane i.
__device__ inline void transpose_words(uint32_t (&w)[4], int q) {
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const uint32_t other = __shfl_xor_sync(0xffffffffu, q & 1 ? w[i] : w[i + 1], 1);
    (q & 1 ? w[i] : w[i + 1]) = other;
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const uint32_t other = __shfl_xor_sync(0xffffffffu, q & 2 ? w[i] : w[i + 2], 2);
    (q & 2 ? w[i] : w[i + 2]) = other;
  }
}

// What one thread of a warpgroup needs to turn its sums into y. It has those of rows r0 + {0, 8, 64, 72} (i: 64 (i / 2) + 8 (i mod 2)) and,
// of each eight columns, of the two from 2q on; it writes 16 bytes of each 16 columns to rows 64 h + 8 (q / 2).
template <class T, End kEnd> struct Finish {
  static constexpr bool kResidual = kEnd >= End::kResidual, kGate = kEnd >= End::kGate, kRowGates = kEnd == End::kRowGates;
  using Words = uint32_t[2][4];

  int q, columns;                                           // that the tile has in y
  const float *bias, *w_scales, *gates[kRowGates ? 4 : 1];  // at column 2q of the tile
  float x_scales[4];
  T* y[2];
  const T* residual[2];
  bool writes[2];

  __device__ Finish(const Params& p, int row, int column) {
    q = static_cast<int>(threadIdx.x) % 4;
    columns = p.out - column;
    const int own_column = column + 2 * q;
    bias = p.bias ? p.bias + own_column : nullptr;
    w_scales = p.w_scales + own_column;
    gates[0] = p.gate + row / p.rows_per_gate * p.gate_pitch + own_column;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int r = min(row + 64 * (i / 2) + 8 * (i % 2), p.rows - 1);
      if (kRowGates) gates[i] = p.gate + r / p.rows_per_gate * p.gate_pitch + own_column;
      x_scales[i] = p.x_scales[r];
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int written = row + 64 * h + 8 * (q / 2);
      y[h] = static_cast<T*>(p.y) + written * p.y_pitch + column + 8 * (q % 2);
      if (kResidual) residual[h] = static_cast<const T*>(p.residual) + written * p.residual_pitch + column + 8 * (q % 2);
      writes[h] = written < p.rows;
    }
  }

  __device__ static float2 pair_at(const float* from) { return *reinterpret_cast<const float2*>(from); }

  // The residual of the 16 columns from `first` on, as y will be written.
  __device__ void load(int first, Words& words) const {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      if (!kResidual || !writes[h] || first >= columns) continue;
      const uint4 bits = *reinterpret_cast<const uint4*>(residual[h] + first);
      words[h][0] = bits.x, words[h][1] = bits.y, words[h][2] = bits.z, words[h][3] = bits.w;
    }
  }

  // y of these columns from the sums of the low and the high rows; `words` holds what load() gave.
  __device__ void finish(const float* low, const float* high, int first, Words& words) const {
    if (first >= columns) return;
    if (kResidual) {
      transpose_words(words[0], q);
      transpose_words(words[1], q);
    }
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int o = first + 8 * j;
      const float2 add = bias ? pair_at(bias + o) : float2{0, 0};
      const float2 scale = pair_at(w_scales + o);
      float2 gate = kGate && !kRowGates ? pair_at(gates[0] + o) : float2{1, 1};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* c = (i < 2 ? low : high) + 4 * j + 2 * (i % 2);
        float2 v = {fmaf(c[0], x_scales[i] * scale.x, add.x), fmaf(c[1], x_scales[i] * scale.y, add.y)};
        if (kRowGates) gate = pair_at(gates[i] + o);
        uint32_t& word = words[i / 2][2 * (i % 2) + j];
        if (kResidual) {
          float2 other;
          unpack_pair<T>(word, other.x, other.y);
          v = kGate ? float2{fmaf(v.x, gate.x, other.x), fmaf(v.y, gate.y, other.y)} : float2{v.x + other.x, v.y + other.y};
        }
        word = pack_pair<T>(v.x, v.y);
      }
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      transpose_words(words[h], q);
      if (writes[h]) *reinterpret_cast<uint4*>(y[h] + first) = {words[h][0], words[h][1], words[h][2], words[h][3]};
    }
  }
};

// y of a tile, by one warpgroup.
template <class T, End kEnd> __device__ void store_tile(const Params& p, const Tile& tile, const float (&sums)[2][kSums], int group) {
  constexpr int kGroups = kColumns / 16, kAhead = 3;
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const Finish<T, kEnd> end(p, tile.row + group * kPartRows + thread / 32 * 16 + thread % 32 / 4, tile.column);
  typename Finish<T, kEnd>::Words ahead[kAhead] = {};
#pragma unroll
  for (int i = 0; i < kAhead; ++i) end.load(16 * i, ahead[i]);
#pragma unroll
  for (int i = 0; i < kGroups; ++i) {
    typename Finish<T, kEnd>::Words words;
#pragma unroll
    for (int k = 0; k < 8; ++k) words[k / 4][k % 4] = ahead[i % kAhead][k / 4][k % 4];
    if (i + kAhead < kGroups) end.load(16 * (i + kAhead), ahead[i % kAhead]);
    end.finish(sums[0] + 8 * i, sums[1] + 8 * i, 16 * i, words);
  }
}

#endif

template <class T> __global__ void __launch_bounds__(kThreads, 1) gemm_kernel(const __grid_constant__ Params p) {
#if LINEA_HOPPER_CODE
  extern __shared__ unsigned char shared_bytes[];
  Ring ring(shared_bytes);
  if (threadIdx.x == 0) ring.init_barriers();
  arrive_at_cluster();
  wait_for_cluster();  // the other block's barriers are ready too
  follow_previous();
  const int group = static_cast<int>(threadIdx.x) / 128, rank = cluster_rank();
  const int first = static_cast<int>(blockIdx.x) / kCluster, clusters = static_cast<int>(gridDim.x) / kCluster;
  if (group == kConsumers) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x % 128 == 0) produce(p, ring, rank, first, clusters);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    const bool speaks = threadIdx.x % 128 == 0;
    float sums[2][kSums];
    for (int index = first; index < p.all_tiles; index += clusters) {
      multiply_tile(p, ring, sums, group, speaks);
      const Tile tile = Tile::of(p, index, rank);
      switch (p.end) {
        case End::kPlain: store_tile<T, End::kPlain>(p, tile, sums, group); break;
        case End::kResidual: store_tile<T, End::kResidual>(p, tile, sums, group); break;
        case End::kGate: store_tile<T, End::kGate>(p, tile, sums, group); break;
        case End::kRowGates: store_tile<T, End::kRowGates>(p, tile, sums, group);
      }
    }
  }
  asm volatile("barrier.cluster.arrive.relaxed;" ::: "memory");
  wait_for_cluster();  // a block stays until the other has sent it everything that it sends
#endif
}

CUtensorMap matrix_map(DType type, const void* data, int64_t rows, int64_t columns, int64_t pitch, int box_rows, int box_columns) {
  const int64_t dims[] = {columns, rows}, pitches[] = {pitch * bytes_of(type)};
  const int box[] = {box_columns, box_rows};
  return tensor_map(kOp, type, data, dims, pitches, box);
}

End end_of(const HopperGemm& call) {
  if (call.gate) return call.rows_per_gate % kRows == 0 ? End::kGate : End::kRowGates;
  return call.residual ? End::kResidual : End::kPlain;
}

}  // namespace

bool suits_hopper_gemm(const HopperGemm& call) {
  constexpr int64_t kMost = std::numeric_limits<int>::max() / 2;
  return (call.type == DType::kBF16 || call.type == DType::kF16) && call.rows > 0 && call.rows < kMost && call.out < kMost &&
         call.in < kMost && call.out % 16 == 0 && (!call.gate || call.residual) && is_aligned(call.x, call.in) &&
         is_aligned(call.w, call.in) && is_aligned(call.y, call.y_pitch * 2) && is_aligned(call.residual, call.residual_pitch * 2) &&
         is_aligned(call.bias, 0) && is_aligned(call.gate, call.gate_pitch * 4) && is_aligned(call.w_scales, 0);
}

void hopper_gemm(cudaStream_t stream, const HopperGemm& call, int device) {
  Params p = {};
  p.x = matrix_map(DType::kF8E4M3, call.x, call.rows, call.in, call.in, kPartRows, kDepth);
  p.w = matrix_map(DType::kF8E4M3, call.w, call.out, call.in, call.in, kColumns, kDepth);
  if (call.residual) {
    p.residual_boxes = matrix_map(call.type, call.residual, call.rows, call.out, call.residual_pitch, kPartRows, kFetchColumns);
  }
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
  p.steps = static_cast<int>(ceil_div(call.in, kDepth));
  p.row_tiles = static_cast<int>(ceil_div(call.rows, kRows));
  p.all_tiles = static_cast<int>(p.row_tiles * ceil_div(call.out, kColumns * kCluster));
  p.end = end_of(call);
  const dim3 blocks(static_cast<unsigned>(std::min(p.all_tiles, processors_of(device) / kCluster) * kCluster));
  with_type(call.type, kOp, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (sizeof(T) == 2) {
      allow_shared(gemm_kernel<T>, kShared, kOp);
      launch_chained_clusters(kOp, gemm_kernel<T>, blocks, kThreads, kShared, stream, kCluster, p);
    }
  });
}

}  // namespace linea::cuda
