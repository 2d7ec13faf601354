// kernels/cuda/gemm_hopper_plain.cu: persistent products of e4m3 matrices on sm_90a, scaled and with a bias.
//
// Maths    gemm_hopper.h without gate and residual.
// Shape    SANA-1.6B at 1024²: 2048 rows of 2240; 11200, 6720 and 2240 outputs: 256, 192 and 64 pairs of tiles for 66 pairs of
//          multiprocessors.
// Tiles    256 rows × 176 or 144 outputs, as device/e4m3_tiles.cuh has it, whichever takes less time in whole waves of tiles: 4 of 176 for
//          11200 outputs, 3 of 144 for 6720, 1 of 144 for 2240.
// Ends     beside the products. The second warpgroup begins three stages later than the first, and so it has products left when the first
//          ends its tile, and the first is at the next tile when the second ends; stages are given back as soon as they are multiplied.
//          A warp brings 16 rows × 32 columns at a time into rows of its own shared memory, from which it stores 64 bytes of a row
//          together. Scales and bias of the tile's columns come into shared memory while it is multiplied.
// Traffic  x and w through the second-level cache: 128 + 176 of 256 × 176 rows in every tile: 350 MB for 11200 outputs.
// Roofline bound by compute: 72, 43 and 14 µs at 1435 TFLOP/s; 84 to 88, 56 and 26 (with quantising) measured alone. Its power lowers the
//          clock: docs/performance.md.
// Accuracy sums in ascending order for every tile, as exact as the tensor cores keep those of e4m3; one rounding of the result.
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/e4m3_tiles.cuh"
#include "kernels/cuda/device_facts.h"
#include "kernels/cuda/gemm_hopper_kernels.h"

namespace linea::cuda {
namespace {

constexpr const char* kOp = "linear";
constexpr int kNarrow = 144, kWide = 176;
constexpr int kWarps = 8, kUnit = 16;  // consuming warps; columns that a warp brings at a time

struct PlainParams {
  TileOperands operands;
  void* y;
  const float *bias, *x_scales, *w_scales;  // bias may be null
  int64_t y_pitch;
  int rows, out;
};

// In shared memory: for every two columns of a warpgroup's tile their scales, then their biases; and for every warp 16 rows of 64 bytes,
// of which the 16-byte pieces are exchanged such that neither those that eight threads write together nor those that they read meet in a
// bank.
template <int kColumns> struct PlainShared {
  unsigned char stages[E4m3Tiles<kColumns>::kRingBytes];
  unsigned char rows[kWarps][16 * 64];
  float4 factors[2][kColumns / 2];
  uint64_t barriers[E4m3Tiles<kColumns>::kBarriers];
};
static_assert(sizeof(PlainShared<kWide>) <= 227 << 10);

#if LINEA_HOPPER_CODE

// Eight bytes into shared memory, zeros when not `valid`.
__device__ inline void copy_async_8(void* to, const void* from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 8 : 0) : "memory");
}

// Four 8×8 matrices of packed pairs as rows in shared memory; lane i gives the address of row i mod 8 of matrix i / 8.
__device__ inline void store_matrices(void* row, const uint32_t (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(row)), "r"(r[0]), "r"(r[1]),
               "r"(r[2]), "r"(r[3])
               : "memory");
}

// Two results as they are stored; the largest f16 where they are beyond it.
template <class T> __device__ uint32_t finite_pair(float low, float high) {
  if constexpr (std::is_same_v<T, __half>) return pack_finite_halves(low, high);
  return pack_pair<T>(low, high);
}

// From a warp's sums of a tile to y.
template <class T, int kColumns> class PlainEnd {
 public:
  static constexpr int kUnits = kColumns / kUnit;

  // Asks for what belongs to the tile's rows and columns.
  __device__ PlainEnd(const PlainParams& p, const typename E4m3Tiles<kColumns>::Tile& tile, int group, float4* factors,
                      unsigned char* staged)
      : p_(p),
        lane_(static_cast<int>(threadIdx.x % 32)),
        column_(tile.column),
        group_(group),
        row_(tile.row + static_cast<int>(threadIdx.x / 32) * 16 + group * 64),
        factors_(factors),
        staged_(staged) {
    const int pair = static_cast<int>(threadIdx.x % 128), column = column_ + 2 * pair;
    if (pair < kColumns / 2) {
      const bool valid = column < p.out;
      copy_async_8(factors + pair, valid ? p.w_scales + column : p.w_scales, valid);
      copy_async_8(&factors[pair].z, valid && p.bias ? p.bias + column : p.w_scales, valid && p.bias);
    }
    commit_copies();
#pragma unroll
    for (int h = 0; h < 2; ++h) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int row = row_ + 64 * h + 8 * r + lane_ / 4;
        x_scales_[h][r] = row < p.rows ? p.x_scales[row] : 0.0f;
      }
    }
  }

  // The second 64 rows' sums take the place of the first: the code, which comes slowly the first time, is half as long.
  __device__ void store(float (&sums)[2][kColumns / 2]) {
    wait_copies<0>();
    wait_for_group(group_);
#pragma unroll 1
    for (int h = 0; h < 2; ++h, row_ += 64) {
      store_half(sums[0]);
#pragma unroll
      for (int i = 0; i < kColumns / 2; ++i) sums[0][i] = sums[1][i];
#pragma unroll
      for (int r = 0; r < 2; ++r) x_scales_[0][r] = x_scales_[1][r];
    }
    wait_for_group(group_);  // nobody reads the columns' factors any more
  }

 private:
  // A piece of 16 bytes in the warp's memory.
  __device__ unsigned char* piece(int row, int index) const { return staged_ + row * 64 + (index ^ (row / 2 % 4)) * 16; }

  __device__ void store_half(const float (&sums)[kColumns / 2]) const {
    const Target<4> to(*this);
#pragma unroll
    for (int unit = 0; unit + 1 < kUnits; unit += 2) {
      put(sums, unit);
      put(sums, unit + 1);
      store_rows(to, unit);
    }
    static_assert(kUnits % 2 == 1);
    put(sums, kUnits - 1);
    store_rows(Target<2>(*this), kUnits - 1);
  }

  __device__ void put(const float (&sums)[kColumns / 2], int unit) const {
    uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int block = 2 * unit + i;  // of eight columns
      const float4 f = factors_[block * 4 + lane_ % 4];
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float* c = sums + block * 4 + 2 * r;
        words[2 * i + r] = finite_pair<T>(fmaf(c[0], x_scales_[0][r] * f.x, f.z), fmaf(c[1], x_scales_[0][r] * f.y, f.w));
      }
    }
    store_matrices(piece(lane_ / 8 % 2 * 8 + lane_ % 8, unit % 2 * 2 + lane_ / 16), words);
  }

  // Where this thread's pieces of a half go, each with so many beside it.
  template <int kPieces> struct Target {
    static constexpr int kRowsTogether = 32 / kPieces, kParts = 16 / kRowsTogether;
    int row, index, columns_left;
    T* y[kParts];
    bool valid[kParts];

    __device__ explicit Target(const PlainEnd& end) : row(end.lane_ / kPieces), index(end.lane_ % kPieces) {
      const int column = end.column_ + index * 8;
      columns_left = end.p_.out - column;
#pragma unroll
      for (int i = 0; i < kParts; ++i) {
        const int of_y = end.row_ + row + i * kRowsTogether;
        y[i] = static_cast<T*>(end.p_.y) + of_y * end.p_.y_pitch + column;
        valid[i] = of_y < end.p_.rows;
      }
    }
  };

  // Sixteen rows that the warp has put.
  template <int kPieces> __device__ void store_rows(const Target<kPieces>& to, int unit) const {
    constexpr int kParts = Target<kPieces>::kParts;
    __syncwarp();
    uint4 parts[kParts];
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      parts[i] = *reinterpret_cast<const uint4*>(piece(to.row + i * Target<kPieces>::kRowsTogether, to.index));
    }
    __syncwarp();  // the next ones may be put
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      if (to.valid[i] && unit * kUnit < to.columns_left) *reinterpret_cast<uint4*>(to.y[i] + unit * kUnit) = parts[i];
    }
  }

  const PlainParams& p_;
  const int lane_, column_, group_;
  int row_;  // the warp's first of the 64 that come next
  const float4* factors_;
  unsigned char* staged_;
  float x_scales_[2][2];
};

// By the threads of a consuming warpgroup.
template <class T, int kColumns>
__device__ void consume(const PlainParams& p, PlainShared<kColumns>& shared, typename E4m3Tiles<kColumns>::Ring ring, int group, int rank,
                        int first, int clusters) {
  using Tiles = E4m3Tiles<kColumns>;
  for (int index = first; index < p.operands.all_tiles; index += clusters) {
    PlainEnd<T, kColumns> end(p, Tiles::Tile::of(p.operands, index, rank), group, shared.factors[group], shared.rows[threadIdx.x / 32]);
    float sums[2][Tiles::kSums];
    Tiles::begin_sums(sums);
    Tiles::template multiply<0>(p.operands, p.operands.steps, ring, sums, group, index == first, [](int) {});
    end.store(sums);
  }
}

#endif

template <class T, int kColumns>
__global__ void __launch_bounds__(E4m3Tiles<kColumns>::kThreads, 1) plain_gemm_kernel(const __grid_constant__ PlainParams p) {
#if LINEA_HOPPER_CODE
  using Tiles = E4m3Tiles<kColumns>;
  extern __shared__ __align__(1024) unsigned char shared_bytes[];
  auto& shared = *reinterpret_cast<PlainShared<kColumns>*>(shared_bytes);
  const typename Tiles::Ring ring(shared.stages, shared.barriers);
  Tiles::begin(ring);
  const int group = static_cast<int>(threadIdx.x / 128), rank = cluster_rank();
  const int first = static_cast<int>(blockIdx.x / Tiles::kCluster), clusters = static_cast<int>(gridDim.x / Tiles::kCluster);
  if (group == Tiles::kConsumers) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    const auto nothing = [](const typename Tiles::Tile&, int) {};
    if (threadIdx.x % 128 == 0) Tiles::produce(p.operands, ring, rank, first, clusters, p.operands.steps, follow_previous, nothing);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    follow_previous();
    consume<T, kColumns>(p, shared, ring, group, rank, first, clusters);
  }
  Tiles::end();
#endif
}

template <class T, int kColumns> void launch(cudaStream_t stream, const HopperGemm& call, int clusters) {
  using Tiles = E4m3Tiles<kColumns>;
  constexpr int kShared = sizeof(PlainShared<kColumns>);
  const PlainParams p = {.operands = tile_operands(call, kColumns),
                         .y = call.y,
                         .bias = call.bias,
                         .x_scales = call.x_scales,
                         .w_scales = call.w_scales,
                         .y_pitch = call.y_pitch,
                         .rows = static_cast<int>(call.rows),
                         .out = static_cast<int>(call.out)};
  clusters = std::min(clusters, p.operands.all_tiles);
  allow_shared(plain_gemm_kernel<T, kColumns>, kShared, kOp);
  launch_chained_clusters(kOp, plain_gemm_kernel<T, kColumns>, static_cast<unsigned>(clusters * Tiles::kCluster), Tiles::kThreads, kShared,
                          stream, Tiles::kCluster, p);
}

// Of tiles of so many columns, in columns of products; a tile's beginning and end count too.
int64_t time_of(const HopperGemm& call, int clusters, int columns) {
  constexpr int kTileTime = 16;
  using Tiles = E4m3Tiles<kNarrow>;
  const int64_t tiles = ceil_div(call.rows, Tiles::kRows) * ceil_div(call.out, columns * Tiles::kCluster);
  return ceil_div(tiles, clusters) * (columns + kTileTime);
}

}  // namespace

void plain_gemm(cudaStream_t stream, const HopperGemm& call, int device) {
  const int clusters = processors_of(device) / E4m3Tiles<kNarrow>::kCluster;
  const bool wide = time_of(call, clusters, kWide) < time_of(call, clusters, kNarrow);
  with_type(call.type, kOp, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (sizeof(T) == 2) wide ? launch<T, kWide>(stream, call, clusters) : launch<T, kNarrow>(stream, call, clusters);
  });
}

}  // namespace linea::cuda
