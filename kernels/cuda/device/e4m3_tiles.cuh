// kernels/cuda/device/e4m3_tiles.cuh: what persistent products of e4m3 matrices on sm_90a share: operands' way into shared memory, and
// sums.
//
// A block takes tiles of 256 rows of x and kColumns of w, one after the other. Two warpgroups multiply 128 rows each; one thread of a third
// asks the copy engine for stages of 128 bytes of every row, four in turn. A cluster of two blocks has tiles beside each other, and each
// asks for half of their rows of x on behalf of both. Blocks that need the same rows of w are at work together; after that w may leave the
// second-level cache, so that what the products write stays there for the next kernel.
#pragma once

#include "kernels/cuda/device/e4m3_products.cuh"

namespace linea::cuda {

#if LINEA_HOPPER_CODE

// The threads of a consuming warpgroup wait for each other.
__device__ inline void wait_for_group(int group) { asm volatile("bar.sync %0, 128;" ::"r"(2 + group) : "memory"); }

// A box that nobody needs again soon: its place in the second-level cache may be given to others first.
__device__ inline void copy_box_once(void* to, const CUtensorMap& map, uint64_t* barrier, int c0, int c1) {
  uint64_t policy;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(
          shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "l"(policy)
      : "memory");
}

#endif

struct TileOperands {
  CUtensorMap x, w;
  int steps, full_steps, rest;  // stages along a row; those that are full; products of 32 in the last where it is not, else 0
  int row_tiles, all_tiles;     // of clusters
};

template <int kColumnsOfTile> struct E4m3Tiles {
  static constexpr int kColumns = kColumnsOfTile, kRows = 256, kPartRows = 128, kSums = kColumns / 2;  // sums of a thread, for 64 rows
  static constexpr int kCluster = 2, kConsumers = 2, kThreads = (kConsumers + 1) * 128;
  static constexpr int kDepth = 128, kDepthOfProduct = 32;  // of a row in a stage
  static constexpr int kPartBytes = kPartRows * kDepth, kRowBytes = 2 * kPartBytes, kStageBytes = kRowBytes + kColumns * kDepth;
  static constexpr int kStages = 4, kRingBytes = kStages * kStageBytes, kBarriers = 2 * kStages, kLag = 3;
  static_assert(kStageBytes % 1024 == 0);

  struct Tile {
    int row, column;

    // Of block `rank` in the cluster's tile `index`.
    __device__ static Tile of(const TileOperands& p, int index, int rank) {
      return {index % p.row_tiles * kRows, (index / p.row_tiles * kCluster + rank) * kColumns};
    }
  };

#if LINEA_HOPPER_CODE

  // The stages' memory and barriers, and where in their turn a thread stands.
  struct Ring {
    unsigned char* stages;
    uint64_t *full, *empty;
    int stage = 0, parity = 0;

    __device__ Ring(unsigned char* memory, uint64_t* barriers) : stages(memory), full(barriers), empty(barriers + kStages) {}
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

  // The barriers of both blocks are there.
  __device__ static void begin(const Ring& ring) {
    if (threadIdx.x == 0) ring.init_barriers();
    asm volatile("barrier.cluster.arrive.relaxed;" ::: "memory");  // the barriers are published
    wait_for_cluster();
  }
  // A block stays until the other has sent it everything that it sends.
  __device__ static void end() {
    asm volatile("barrier.cluster.arrive.relaxed;" ::: "memory");
    wait_for_cluster();
  }

  // By one thread: asks for everything, as far ahead of the consumers as there is room. Of a tile's turns those beyond the steps bring
  // nothing. before(tile, turn) comes first in every turn. The first stages' rows of w, which no kernel writes, come while the kernel
  // before ends, for which follow() waits.
  template <class Follow, class Before>
  __device__ static void produce(const TileOperands& p, Ring ring, int rank, int first, int clusters, int turns, const Follow& follow,
                                 const Before& before) {
    const auto ask_for_columns = [&](const Ring& at, const Tile& tile, int s) {
      arrive_expecting(at.full + at.stage, kStageBytes);
      copy_box_once(at.bytes() + kRowBytes, p.w, at.full + at.stage, s * kDepth, tile.column);
    };
    const int early = min(p.steps, kStages);
    Ring ahead = ring;
#pragma unroll 1
    for (int s = 0; s < early; ++s, ahead.advance()) ask_for_columns(ahead, Tile::of(p, first, rank), s);
    follow();
#pragma unroll 1
    for (int index = first; index < p.all_tiles; index += clusters) {
      const Tile tile = Tile::of(p, index, rank);
#pragma unroll 1
      for (int s = 0; s < turns; ++s, ring.advance()) {
        before(tile, s);
        wait_phase(ring.empty + ring.stage, ring.parity ^ 1);
        uint64_t* full = ring.full + ring.stage;
        if (s >= p.steps) {
          arrive(full);
          continue;
        }
        if (index != first || s >= early) ask_for_columns(ring, tile, s);
        copy_box_to_all(ring.bytes() + rank * kPartBytes, p.x, full, s * kDepth, tile.row + rank * kPartRows, (1 << kCluster) - 1);
      }
    }
  }

  // The first products of a tile do not read what sums begin as; the compiler must not look for it where they last were.
  __device__ static void begin_sums(float (&sums)[2][kSums]) {
#pragma unroll
    for (auto& half : sums) {
#pragma unroll
      for (float& sum : half) asm volatile("" : "=f"(sum));
    }
  }

  // The sums of a tile, by a warpgroup. In its first tile the second begins when the first has multiplied kLag stages, so that from then on
  // one multiplies while the other ends a tile. The stages of the last kKept turns stay the consumers', the others are given back.
  // after(step) comes when the step before has been multiplied.
  template <int kKept, class After>
  __device__ static void multiply(const TileOperands& p, int turns, Ring& ring, float (&sums)[2][kSums], int group, bool is_first,
                                  const After& after) {
    const bool speaks = threadIdx.x % 128 == 0, lags = is_first && p.steps > kLag;
    if (lags && group == 1) asm volatile("bar.sync 1, 256;" ::: "memory");
    constexpr int kNextRows = 64 * kDepth / 16;
    int previous = 0;
    const auto pass_on = [&](int step) {
      wait_products<1>();  // of the stage before, which may be filled again
      if (step > 0 && step <= turns - kKept && speaks) ring.release(previous);
      if (lags && group == 0 && step == kLag) asm volatile("bar.arrive 1, 256;" ::: "memory");
      after(step);
      previous = ring.stage;
      ring.advance();
    };
    const auto multiply_both = [&](int k, int adds) {
      const unsigned char* bytes = ring.bytes();
      const uint64_t a = matrix_descriptor(bytes + group * kPartBytes) + 2 * k, b = matrix_descriptor(bytes + kRowBytes) + 2 * k;
      multiply_e4m3(sums[0], a, b, adds);
      multiply_e4m3(sums[1], a + kNextRows, b, adds);
    };
#pragma unroll 1
    for (int s = 0; s < p.full_steps; ++s) {
      wait_phase(ring.full + ring.stage, ring.parity);
      begin_products();
#pragma unroll
      for (int k = 0; k < kDepth / kDepthOfProduct; ++k) multiply_both(k, s + k);
      commit_products();
      pass_on(s);
    }
    if (p.rest > 0) {
      wait_phase(ring.full + ring.stage, ring.parity);
#pragma unroll 1
      for (int k = 0; k < p.rest; ++k) {
        begin_products();
        multiply_both(k, p.full_steps + k);
        commit_products();
      }
      pass_on(p.full_steps);
    }
#pragma unroll 1
    for (int s = p.steps; s < turns; ++s) {  // stages that short rows leave empty
      wait_phase(ring.full + ring.stage, ring.parity);
      ring.advance();
    }
    wait_products<0>();
    if (kKept == 0 && speaks) ring.release(previous);
  }

#endif
};

}  // namespace linea::cuda
