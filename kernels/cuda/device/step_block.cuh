// kernels/cuda/device/step_block.cuh: a block of the step kernel: its shared memory, how its threads and all blocks meet, the present
// instruction and the next, and the warps that ask for weights.
//
// Everything that lasts from one instruction to the next lies in shared memory: what runs between two barriers had better not spill, since
// weights push all else out of the caches.
#pragma once

#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/device/step.cuh"
#include "kernels/cuda/step_kernel.h"

namespace linea::cuda::step {

// racecheck of compute-sanitizer takes a read for ordered before a later copy only if the thread that read arrives itself at the barrier
// that the copy waits for, not if another one arrives after __syncwarp() or a barrier with it. In a build for it all of them do.
#ifdef LINEA_RACECHECK
constexpr bool kAllReadersArrive = true;
#else
constexpr bool kAllReadersArrive = false;
#endif

constexpr int kStepSums = (kStepWarps + 3) / 4 * 4;  // of warps, and zeros

struct alignas(128) Shared {
  unsigned char slots[kStepSlots][kStepPieceBytes];
  unsigned char inputs[kStepInputBytes];  // also what heads need
  StepInstruction known[kStepKnown];
  float parts[kStepParts];
  alignas(16) float sums[2][kStepSums];
  float endings[(2 * kStepTaps + 2) * kStepThreads];
  uint32_t residuals[kStepThreads][2];
  StepCopy lists[kStepCopiers + 1][kStepCopiesAhead];  // parts of what each copies, and of what is asked for ahead
  uint64_t piece_here[kStepSlots], slot_free[kStepSlots], instruction_here[kStepKnown];
  uint64_t expected;  // arrivals at the last barrier, for thread 0
  uint32_t copied;    // what StepProgram::copied was before the launch
  uint32_t mark;      // of the launch, in the upper 16 bits of what it gives (step_words.cuh)
  // What the block is at, here and not in registers, which a call would send to memory and back.
  int current;      // instruction
  int first_piece;  // of it among all of the block's
  StepProgram program;
};
static_assert(sizeof(Shared) <= 227 << 10);  // of a block, at most

#if LINEA_HOPPER_CODE

__device__ inline Shared& own_shared() {
  extern __shared__ __align__(128) unsigned char memory[];
  return *reinterpret_cast<Shared*>(memory);
}

// Into shared memory, without waiting.
template <int kBytes> __device__ inline void copy_async(void* to, const void* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(shared_address(to)), "l"(from), "n"(kBytes) : "memory");
}

// By the copy engine, with a policy of the second-level cache.
__device__ inline void copy_once(void* to, const void* from, int bytes, uint64_t* barrier, uint64_t policy) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::"r"(
                   shared_address(to)),
               "l"(from), "r"(bytes), "r"(shared_address(barrier)), "l"(policy)
               : "memory");
}

__device__ inline const StepProduct& product_of(const StepProducts& all, int unit) {
  int index = all.count - 1;
  while (unit < all.product[index].first_unit) --index;
  return all.product[index];
}

__device__ inline int own_warp() { return static_cast<int>(threadIdx.x) / 32; }
__device__ inline int own_lane() { return static_cast<int>(threadIdx.x) % 32; }

// Finds the product of a unit for a whole warp at once: a lane knows where one of them begins.
struct ProductFinder {
  int first_unit;

  __device__ explicit ProductFinder(const StepProducts& all) {
    const int lane = own_lane();
    first_unit = lane < all.count ? all.product[lane].first_unit : all.units;
  }
  __device__ const StepProduct& find(const StepProducts& all, int unit) const {
    return all.product[31 - __clz(static_cast<int>(__ballot_sync(0xffffffffu, first_unit <= unit)))];
  }
};

// A piece of a product's matrix: of some rows, the bytes that lie in one segment. All that multiplying it takes is found before it is here.
struct Piece {
  int rows, bytes;
  const unsigned char* x;  // in shared memory, what it is multiplied with
  bool is_wide;            // f32

  __device__ Piece(const StepProducts& all, const ProductFinder& products, int first_unit, int index) {
    const int unit = first_unit + (index >> all.segment_shift), segment = index & ((1 << all.segment_shift) - 1);
    const StepProduct& p = products.find(all, unit);
    const int row = (unit - p.first_unit) << p.unit_shift, before = segment * p.segment_bytes;
    rows = min(1 << p.unit_shift, p.base.out - row);
    bytes = min(p.segment_bytes, p.row_bytes - before);
    x = own_shared().inputs + all.input[p.input].place + before;
    is_wide = p.base.type == DType::kF32;
  }
};

// The threads that compute.
__device__ inline void sync_workers() { asm volatile("bar.sync 1, %0;" ::"n"(kStepThreads) : "memory"); }

// Until all blocks have ended the instruction before.
__device__ inline void meet(const StepInstruction& instruction) {
  if (!instruction.waits) return;
  if (threadIdx.x == 0) {
    Shared& shared = own_shared();
    shared.expected += gridDim.x;
    uint64_t arrived;
    do {
      asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(arrived) : "l"(shared.program.arrivals) : "memory");
    } while (arrived < shared.expected);
  }
  sync_workers();
}

// Piece n of all of the block's, once it is here; and when the warp has read it. Whoever asks has seen what was in its slot before, since a
// phase that has not begun looks like the one before the present.
__device__ inline const unsigned char* piece_at(int n) {
  const unsigned slot = static_cast<unsigned>(n) % kStepSlots, round = static_cast<unsigned>(n) / kStepSlots;
  wait_phase(&own_shared().piece_here[slot], static_cast<int>(round % 2));
  return own_shared().slots[slot];
}
__device__ inline uint64_t* slot_of(int n) { return &own_shared().slot_free[static_cast<unsigned>(n) % kStepSlots]; }
__device__ inline void release_piece(int n) {
  if constexpr (kAllReadersArrive) return arrive(slot_of(n), kStepWarps);
  __syncwarp();
  if (own_lane() == 0) arrive(slot_of(n));
}
// And `count` of them from n on, which all threads that compute have read.
__device__ inline void release_pieces(int n, int count) {
  sync_workers();
  if constexpr (kAllReadersArrive) {
    for (int i = 0; i < count; ++i) arrive(slot_of(n + i), 1);
  } else if (static_cast<int>(threadIdx.x) < count) {
    arrive(slot_of(n + static_cast<int>(threadIdx.x)));
  }
}

// The sum over the block, in one fixed order; `which` alternates, so that one call's sums are read before another's are written. All
// threads add up what the warps have, which takes a third of the time of another exchange between lanes.
__device__ inline float sum_block(float v, int which) {
  float(&sums)[kStepSums] = own_shared().sums[which];
  v = sum_lanes(v);
  if (own_lane() == 0) sums[own_warp()] = v;
  sync_workers();
  float fours[kStepSums / 4];
#pragma unroll
  for (int i = 0; i < kStepSums / 4; ++i) {
    float four[4];
    load(sums + 4 * i, four);
    fours[i] = (four[0] + four[1]) + (four[2] + four[3]);
  }
  static_assert(kStepSums == 16);
  return (fours[0] + fours[1]) + (fours[2] + fours[3]);
}

// The present instruction and the next are in shared memory.
__device__ inline void ask_for_instruction(int index) {
  Shared& shared = own_shared();
  uint64_t* barrier = &shared.instruction_here[index % kStepKnown];
  arrive_expecting(barrier, sizeof(StepInstruction));
  copy_bytes(&shared.known[index % kStepKnown], shared.program.instructions + index, sizeof(StepInstruction), barrier);
}
__device__ inline const StepInstruction& instruction_at(int index) {
  wait_phase(&own_shared().instruction_here[index % kStepKnown], index / kStepKnown % 2);
  return own_shared().known[index % kStepKnown];
}

// The present one, where it is known to be here.
__device__ inline const StepInstruction& present() { return own_shared().known[own_shared().current % kStepKnown]; }

// Before anything else, by the first warp: all that copying needs, unless it counts (StepProgram::counted).
__device__ inline void begin_copying(const StepProgram& program) {
  Shared& shared = own_shared();
  const int lane = own_lane();
  static_assert(kStepSlots <= 32 && kStepKnown <= 32 && kStepSums <= 32);
  if (lane < kStepSlots) {
    init_barrier(&shared.piece_here[lane], 1);
    init_barrier(&shared.slot_free[lane], kAllReadersArrive ? kStepThreads : 1);
  }
  if (lane < kStepKnown) init_barrier(&shared.instruction_here[lane], 1);
  if (lane < kStepSums) shared.sums[0][lane] = shared.sums[1][lane] = 0;
  if (lane == 0) {
    shared.program = program;
    shared.current = 0;
    shared.first_piece = 0;
  }
  publish_barriers();
}

// The rest, by one thread, when all have seen that.
__device__ inline void begin(const StepProgram& program) {
  Shared& shared = own_shared();
  for (int i = 0; i < min(kStepKnown, program.instruction_count); ++i) ask_for_instruction(i);
  uint64_t arrived;
  asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(arrived) : "l"(program.arrivals) : "memory");
  // All blocks of a launch count themselves; that no row carries the mark beforehand takes a mark that is not zero.
  const uint64_t launch = atomicAdd(program.begun, 1u) / gridDim.x;
  shared.expected = arrived / gridDim.x * gridDim.x;  // others may have arrived at the first barrier already
  shared.mark = static_cast<uint32_t>(launch % 0xffffu + 1) << 16;
  shared.copied = static_cast<uint32_t>(launch) * gridDim.x * static_cast<uint32_t>(program.counted);
}

// Ends the present instruction of `pieces` pieces; what the next one does not wait for goes on meanwhile.
__device__ inline void advance(int pieces) {
  Shared& shared = own_shared();
  sync_workers();
  if (threadIdx.x == 0) {
    ++shared.current;
    shared.first_piece += pieces;
  }
  sync_workers();
  if (threadIdx.x != kStepThreads - 1) return;  // its warp is the last to have work
  const int current = shared.current, count = shared.program.instruction_count;
  if (current < count && instruction_at(current).waits) {
    asm volatile("red.release.gpu.global.add.u64 [%0], %1;" ::"l"(shared.program.arrivals), "l"(uint64_t{1}) : "memory");
  }
  if (current + kStepKnown - 1 < count) ask_for_instruction(current + kStepKnown - 1);
}

// The units of an instruction that are the block's: [begin, end).
struct UnitRange {
  int begin, end;

  __device__ explicit UnitRange(const StepShares& shares)
      : begin(shares.first_of(static_cast<int>(blockIdx.x))), end(shares.first_of(static_cast<int>(blockIdx.x) + 1)) {}
};

__device__ inline int pieces_of_block(const StepProducts& all) {
  const UnitRange units(all.shares);
  return (units.end - units.begin) << all.segment_shift;
}

// What the block needs of W, in the order in which it is multiplied. The next parts are on their way into shared memory, so that none is
// waited for: they come from the second-level cache, or from memory. Of a list that nobody takes none are asked for, since its places are
// another thread's.
struct OwnCopies {
  const StepCopy *next, *end;
  StepCopy (&places)[kStepCopiesAhead];
  unsigned taken = 0;

  __device__ OwnCopies(const StepProgram& program, StepCopy (&places)[kStepCopiesAhead], bool is_taken)
      : next(program.copies + static_cast<int>(blockIdx.x) * program.copy_pitch),
        end(is_taken ? next + program.copy_pitch : next),
        places(places) {
#pragma unroll 1
    for (int i = 0; i < kStepCopiesAhead; ++i) ask(i);
  }
  __device__ void ask(unsigned place) {
    if (next < end) copy_async_16(&places[place], next++, true);
    commit_copies();
  }
  // Of no bytes after the last.
  __device__ StepCopy take() {
    wait_copies<kStepCopiesAhead - 1>();
    const unsigned place = taken % kStepCopiesAhead;
    const StepCopy copy = places[place];
    if (copy.bytes == 0) return copy;
    ask(place);
    ++taken;
    return copy;
  }
};

// How many of the counted instructions the block has on their way, and whether all blocks have them.
struct CopyProgress {
  uint32_t before;           // what all had counted before the launch
  int own = 0, reached = 0;  // reached: by all

  __device__ explicit CopyProgress(uint32_t counted_before) : before(counted_before) {}
  __device__ void enter(int counted, uint32_t* counter) {
    if (counted == own) return;
    asm volatile("red.relaxed.gpu.global.add.u32 [%0], %1;" ::"l"(counter), "r"(counted - own) : "memory");
    own = counted;
  }
  __device__ bool is_common() const { return reached == own; }
  __device__ bool becomes_common(const uint32_t* counter) {
    if (is_common()) return true;
    uint32_t all;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(all) : "l"(counter) : "memory");
    if (static_cast<int>(all - before - static_cast<uint32_t>(own) * gridDim.x) < 0) return false;
    reached = own;
    return true;
  }
};

// Asks into the second-level cache for what comes after the pieces in the ring, at the memory's pace: a queue of requests would stand
// before what others wait for. Weights are the first to be pushed out again, rather than what is needed once a layer: code, constants,
// places of words. What has been copied before it was asked for is left out at once.
struct Foresight {
  OwnCopies copies;
  uint64_t once, kept;  // policies: of what is read once, and of the rest
  uint64_t policy = 0;
  const unsigned char* from = nullptr;
  int left = 0;       // bytes of the present part
  int asked = 0;      // bytes of all that the block needs, from the first on
  uint32_t last = 0;  // when it asked

  __device__ Foresight(Shared& shared, bool is_used, uint64_t once, uint64_t kept)
      : copies(shared.program, shared.lists[kStepCopiers], is_used), once(once), kept(kept) {}
  __device__ void pass(int bytes) {
    from += bytes;
    left -= bytes;
    asked += bytes;
  }
  // While the ring is not full: whether it may ask again, for what is not copied next.
  __device__ bool is_due(int copied, int pace) const {
    return asked > copied && static_cast<uint32_t>(clock64()) - last >= static_cast<uint32_t>(pace);
  }
  // For the next bytes, unless they are further than `ahead` from what has been copied.
  __device__ void ask(int copied, int ahead, int pace) {
    if (left == 0) {
      const StepCopy copy = copies.take();
      from = static_cast<const unsigned char*>(copy.from);
      left = copy.bytes;
      policy = copy.piece_bytes == 0 ? kept : once;
      if (copy.shared) pass(copy.bytes);
    }
    if (asked < copied) pass(min(left, copied - asked));
    const int bytes = min(left, kStepAskedBytes);
    if (bytes == 0 || asked + bytes > copied + ahead) return;
    const auto now = static_cast<uint32_t>(clock64());
    if (now - last < static_cast<uint32_t>(pace)) return;
    last = now;
    asm volatile("cp.async.bulk.prefetch.L2.global.L2::cache_hint [%0], %1, %2;" ::"l"(from), "r"(bytes), "l"(policy) : "memory");
    pass(bytes);
  }
};

// Every kStepCopiers-th of the pieces of W that the block needs, by one thread: one comes about every 200 cycles, so that little may be
// done for each. While the ring is full, or filled from the second-level cache, memory would rest: with foresight the first thread asks for
// more then.
template <bool kForesees> __device__ inline void copy_pieces(Shared& shared, int copier) {
  const int ahead = shared.program.ahead, pace = shared.program.pace;
  uint64_t once, kept;  // W is read once, so not to be kept in the second-level cache
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0;" : "=l"(once));
  asm volatile("createpolicy.fractional.L2::evict_normal.b64 %0;" : "=l"(kept));
  OwnCopies copies(shared.program, shared.lists[copier], true);
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(copies.end - shared.program.copy_pitch),
               "r"(shared.program.copy_pitch * static_cast<int>(sizeof(StepCopy)))
               : "memory");
  Foresight foresight(shared, kForesees && copier == 0, once, kept);
  CopyProgress progress(shared.program.counted > 0 ? shared.copied : 0);  // not there yet, perhaps, where nobody counts
  unsigned slot = static_cast<unsigned>(copier);
  int parity = 1;           // waiting for the phase before the first does not wait
  int before = 0;           // bytes of the parts before
  bool skips = copier > 0;  // the first piece of a part
  static_assert(kStepCopiers == 2);
#pragma unroll 1
  for (StepCopy c = copies.take(); c.bytes > 0; c = copies.take()) {
    const auto* from = static_cast<const unsigned char*>(c.from);
    if (kForesees && copier == 0) progress.enter(c.counted, shared.program.copied);
    if (c.piece_bytes == 0) {
      before += c.bytes;
      continue;
    }
    int place = skips ? c.piece_bytes : 0;
#pragma unroll 1
    for (; place < c.bytes; place += kStepCopiers * c.piece_bytes) {
      if (kForesees && copier == 0) {
        if (progress.is_common() && foresight.is_due(before + place, pace)) foresight.ask(before + place, ahead, pace);
        while (!has_phase(&shared.slot_free[slot], parity)) {
          if (progress.becomes_common(shared.program.copied)) foresight.ask(before + place, ahead, pace);
        }
      } else {
        wait_phase(&shared.slot_free[slot], parity);
      }
      const int length = min(c.piece_bytes, c.bytes - place);
      arrive_expecting(&shared.piece_here[slot], length);
      copy_once(shared.slots[slot], from + place, length, &shared.piece_here[slot], c.shared ? kept : once);
      slot += kStepCopiers;
      if (slot >= kStepSlots) {
        slot -= kStepSlots;
        parity ^= 1;
      }
    }
    skips = place >= c.bytes + c.piece_bytes;
    before += c.bytes;
  }
  if (kForesees && copier == 0) progress.enter(shared.program.counted, shared.program.copied);
  wait_copies<0>();
}

#endif

}  // namespace linea::cuda::step
