// kernels/cuda/step_kernel.cu: a whole decode step in one kernel, one block a processor (step_program.h).
//
// Maths    that of the ops, with their roundings: products of one row (small_linear.cu), mixes (mixes.cu), norms (recurrent_rows.cu), a
//          convolution's one token (scans.cu), the heads of RWKV-7 (rwkv7.cu) and of Mamba-2 (recurrence.cu)
// Shape    RWKV-7 7.2B: 32 layers of 8 instructions, 450 MB of weights each; Mamba-2 2.7B: 64 layers of 3, 80 MB.
// Tiles    outputs of a product are dealt out to blocks in runs of neighbours, and to a block's 14 warps in pieces of 5 KiB: a row of W,
//          part of one, or several. Two more warps ask the copy engine for pieces, those of the next instructions too, so that 140 KiB a
//          processor, 18 MB in all, come while the blocks wait for each other or do what reads next to nothing.
// Traffic  W once; x of an instruction once a block, from the second-level cache.
// Roofline bound by memory: 14.4 GB a step of 7.2B in 16 bits, 4.8 ms at 2.98 TB/s; while weights stream, 95 % of the copy rate. A barrier
//          costs 2 to 4 µs of release, wait and first reads; a layer of RWKV-7 has eight, whose sum 18 MB (6 µs) cover but in part.
// Accuracy f32, rounded where the ops round. The order of a sum depends on the shape of W alone.
#include "kernels/cuda/step_kernel.h"

#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/device/recurrence.cuh"
#include "kernels/cuda/device/rwkv7.cuh"
#include "kernels/cuda/device/step.cuh"
#include "kernels/cuda/device/step_bodies.cuh"
#include "kernels/cuda/device_facts.h"

namespace linea::cuda {
namespace {

struct alignas(128) Shared {
  unsigned char slots[kStepSlots][kStepPieceBytes];
  unsigned char inputs[kStepInputBytes];  // also what heads need
  StepInstruction known[kStepKnown];
  float parts[kStepParts];
  float sums[2][kStepWarps];
  uint64_t piece_here[kStepSlots], slot_free[kStepSlots], instruction_here[kStepKnown];
  uint64_t expected;  // arrivals at the last barrier, for thread 0
  // What the block is at, here and not in registers, which a call would send to memory and back.
  int current;      // instruction
  int first_piece;  // of it among all of the block's
  StepProgram program;
};

#if LINEA_HOPPER_CODE

__device__ inline Shared& own_shared() {
  extern __shared__ __align__(128) unsigned char memory[];
  return *reinterpret_cast<Shared*>(memory);
}

// By the copy engine, with a policy of the second-level cache.
__device__ inline void copy_once(void* to, const void* from, int bytes, uint64_t* barrier, uint64_t policy) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::"r"(
                   shared_address(to)),
               "l"(from), "r"(bytes), "r"(shared_address(barrier)), "l"(policy)
               : "memory");
}
__device__ inline void copy_bytes(void* to, const void* from, int bytes, uint64_t* barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(to)),
               "l"(from), "r"(bytes), "r"(shared_address(barrier))
               : "memory");
}

__device__ inline const StepProduct& product_of(const StepProducts& all, int unit) {
  int index = all.count - 1;
  while (unit < all.product[index].first_unit) --index;
  return all.product[index];
}

// A piece of a product's matrix.
struct Piece {
  const StepProduct* product;
  int row, rows, segment;

  __device__ Piece(const StepProducts& all, int first_unit, int index) {
    const int unit = first_unit + (index >> all.segment_shift);
    product = &product_of(all, unit);
    segment = index & ((1 << all.segment_shift) - 1);
    row = (unit - product->first_unit) << product->unit_shift;
    rows = min(1 << product->unit_shift, product->base.out - row);
  }
  __device__ int row_bytes() const { return min(product->segment_bytes, product->row_bytes - segment * product->segment_bytes); }
};

__device__ inline int own_warp() { return static_cast<int>(threadIdx.x) / 32; }
__device__ inline int own_lane() { return static_cast<int>(threadIdx.x) % 32; }

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

// Piece n of all of the block's, once it is here; and when it has been read.
__device__ inline const unsigned char* piece_at(int n) {
  wait_phase(&own_shared().piece_here[n % kStepSlots], n / kStepSlots % 2);
  return own_shared().slots[n % kStepSlots];
}
__device__ inline void release_piece(int n) {
  __syncwarp();
  if (own_lane() == 0) arrive(&own_shared().slot_free[n % kStepSlots]);
}

// The sum over the block, in one fixed order; `which` alternates, so that one call's sums are read before another's are written.
__device__ inline float sum_block(float v, int which) {
  v = sum_lanes(v);
  if (own_lane() == 0) own_shared().sums[which][own_warp()] = v;
  sync_workers();
  return sum_lanes(own_lane() < kStepWarps ? own_shared().sums[which][own_lane()] : 0.0f);
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

// Before anything else, by one thread.
__device__ inline void begin(const StepProgram& program) {
  Shared& shared = own_shared();
  shared.program = program;
  for (int i = 0; i < kStepKnown; ++i) init_barrier(&shared.instruction_here[i], 1);
#pragma unroll 1
  for (int i = 0; i < kStepSlots; ++i) {
    init_barrier(&shared.piece_here[i], 1);
    init_barrier(&shared.slot_free[i], 1);
  }
  publish_barriers();
  uint64_t arrived;
  asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(arrived) : "l"(program.arrivals) : "memory");
  shared.expected = arrived / gridDim.x * gridDim.x;  // others may have arrived at the first barrier already
  shared.current = 0;
  shared.first_piece = 0;
  for (int i = 0; i < min(kStepKnown, program.instruction_count); ++i) ask_for_instruction(i);
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
  if (threadIdx.x != 0) return;
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

// Every kStepCopiers-th of the pieces of W that the block needs, by one thread, in the order in which they are multiplied: one comes about
// every 350 cycles, which is little for one thread.
__device__ inline void copy_pieces(int copier) {
  Shared& shared = own_shared();
  const StepCopy* copies = shared.program.copies;
  const int count = shared.program.copy_count;
  uint64_t policy;  // read once, so not to be kept in the second-level cache
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0;" : "=l"(policy));
  int slot = 0, parity = 1, turn = copier;  // waiting for the phase before the first does not wait
  StepCopy next = {};
  if (count > 0) next = copies[0];
#pragma unroll 1
  for (int i = 0; i < count; ++i) {
    const StepCopy c = next;
    if (i + 1 < count) next = copies[i + 1];
    const UnitRange units(c.shares);
    const int first_row = (max(units.begin, c.first_unit) - c.first_unit) << c.unit_shift;
    const int end_row = min((min(units.end, c.end_unit) - c.first_unit) << c.unit_shift, c.out);
    const unsigned char* from = static_cast<const unsigned char*>(c.w) + static_cast<int64_t>(first_row) * c.row_bytes;
    const unsigned char* end = static_cast<const unsigned char*>(c.w) + static_cast<int64_t>(end_row) * c.row_bytes;
    const unsigned char* row_end = from + c.row_bytes;
#pragma unroll 1
    while (from < end) {
      const unsigned char* piece_end = from + c.piece_bytes;
      if (c.is_segmented) {
        if (piece_end >= row_end) {
          piece_end = row_end;
          row_end += c.row_bytes;
        }
      } else if (piece_end > end) {
        piece_end = end;
      }
      if (turn == 0) {
        const auto bytes = static_cast<int>(piece_end - from);
        wait_phase(&shared.slot_free[slot], parity);
        arrive_expecting(&shared.piece_here[slot], bytes);
        copy_once(shared.slots[slot], from, bytes, &shared.piece_here[slot], policy);
        turn = kStepCopiers;
      }
      --turn;
      from = piece_end;
      if (++slot == kStepSlots) {
        slot = 0;
        parity ^= 1;
      }
    }
  }
}

// ---- Norms and mixes --------------------------------------------------------------------------------------------------------------------

// A row in the block's registers: a thread has every kStepThreads-th vector.
struct Row {
  float v[kStepNormVectors][kVector] = {};

  template <class F> __device__ static void for_vectors(int dim, F&& f) {
#pragma unroll
    for (int n = 0; n < kStepNormVectors; ++n) {
      const int i = (n * kStepThreads + static_cast<int>(threadIdx.x)) * kVector;
      if (i < dim) f(n, i);
    }
  }
  template <class T> __device__ void read(const void* x, DType type, int dim) {
    for_vectors(dim, [&](int n, int i) {
      type == DType::kF32 ? load(static_cast<const float*>(x) + i, v[n]) : load(static_cast<const T*>(x) + i, v[n]);
    });
  }
  // The mean, which is taken from the row, and what its elements are multiplied by.
  __device__ float2 normalize(int dim, bool centre, float eps) {
    float mean = 0, squares = 0;
    if (centre) {
      float sum = 0;
      for_vectors(dim, [&](int n, int) {
#pragma unroll
        for (int j = 0; j < kVector; ++j) sum += v[n][j];
      });
      mean = sum_block(sum, 0) / static_cast<float>(dim);
    }
    for_vectors(dim, [&](int n, int) {
#pragma unroll
      for (int j = 0; j < kVector; ++j) {
        v[n][j] -= mean;
        squares = fmaf(v[n][j], v[n][j], squares);
      }
    });
    return {mean, 1.0f / sqrtf(sum_block(squares, 1) / static_cast<float>(dim) + eps)};
  }
};

// The norm of a row, into shared memory, or memory, or both.
template <class T> __device__ __noinline__ void normalize_row(const StepNorm& norm, T* shared_row, T* row) {
  Row x, weights, offsets;
  x.read<T>(norm.x, norm.x_type, norm.dim);
  weights.read<float>(norm.w, DType::kF32, norm.dim);
  if (norm.bias) offsets.read<float>(norm.bias, DType::kF32, norm.dim);
  const float factor = x.normalize(norm.dim, norm.centre, norm.eps).y;
  Row::for_vectors(norm.dim, [&](int n, int i) {
#pragma unroll
    for (int j = 0; j < kVector; ++j) x.v[n][j] = fmaf(x.v[n][j] * factor, weights.v[n][j], offsets.v[n][j]);
    if (shared_row) store(shared_row + i, x.v[n]);
    if (row) store(row + i, x.v[n]);
  });
}

template <class T> __device__ __noinline__ void run_norm(const StepInstruction& instruction) {
  const auto& all = instruction.as<StepGroups>();
  meet(instruction);
  for (int group = static_cast<int>(blockIdx.x); group < all.groups; group += static_cast<int>(gridDim.x)) {
    StepNorm norm = all.norm;
    const int64_t first = static_cast<int64_t>(group) * norm.dim;
    norm.w += first;
    if (norm.bias) norm.bias += first;
    norm.x = norm.x_type == DType::kF32 ? static_cast<const void*>(static_cast<const float*>(norm.x) + first)
                                        : static_cast<const void*>(static_cast<const T*>(norm.x) + first);
    normalize_row<T>(norm, nullptr, static_cast<T*>(norm.y) + first);
    sync_workers();
  }
}

// A block mixes 32 channels, a warp for each mix, and norms the whole row for itself.
template <class T> __device__ __noinline__ void run_mix(const StepInstruction& instruction) {
  const auto& mix = instruction.as<StepMix>();
  const int n = own_warp(), c = static_cast<int>(blockIdx.x) * 32 + own_lane();
  const bool mixes = n < mix.mixes && c < mix.dim, replaces = n == kStepWarps - 1 && c < mix.dim;
  float share = 0, w = 0, bias = 0, previous = 0, own = 0;
  if (mixes) share = mix.m[n][c];
  if (mixes || replaces) {
    w = mix.w[c];
    bias = mix.bias[c];
    previous = mix.state[c];
  }
  meet(instruction);
  if (blockIdx.x * 32 >= static_cast<unsigned>(mix.dim)) return;
  Row row;
  row.read<T>(mix.x, mix.x_type, mix.dim);
  if (mixes || replaces) own = mix.x_type == DType::kF32 ? static_cast<const float*>(mix.x)[c] : to_float(static_cast<const T*>(mix.x)[c]);
  const float2 moments = row.normalize(mix.dim, true, mix.eps);
  const float h = fmaf((own - moments.x) * moments.y, w, bias);
  if (mixes) static_cast<T*>(mix.y[n])[c] = from_float<T>(fmaf(previous - h, share, h));
  if (replaces) mix.state[c] = h;
}

// ---- Products ---------------------------------------------------------------------------------------------------------------------------

template <class T> __device__ inline float dot(const unsigned char* w, const unsigned char* x, int vectors) {
  constexpr int kWidth = 16 / sizeof(T);
  float sums[2] = {};
#pragma unroll(sizeof(T) == 2 ? 5 : 2)
  for (int v = own_lane(); v < vectors; v += 32) {
    float a[kWidth], b[kWidth];
    load(reinterpret_cast<const T*>(w) + v * kWidth, a);
    load(reinterpret_cast<const T*>(x) + v * kWidth, b);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sums[j % 2] = fmaf(a[j], b[j], sums[j % 2]);
  }
  return sum_lanes(sums[0] + sums[1]);
}

// Rows of at most a vector a lane, four at a time, whose sums across lanes overlap.
template <class T>
__device__ inline void multiply_short_rows(const unsigned char* w, const unsigned char* x, int rows, int bytes, float* to) {
  constexpr int kWidth = 16 / sizeof(T), kTogether = 4;
  const int lane = own_lane();
  const bool reads = lane < bytes / 16;
  float b[kWidth] = {};
  if (reads) load(reinterpret_cast<const T*>(x) + lane * kWidth, b);
#pragma unroll 1
  for (int first = 0; first < rows; first += kTogether) {
    float sums[kTogether] = {};
#pragma unroll
    for (int r = 0; r < kTogether; ++r) {
      if (!reads || first + r >= rows) continue;
      float a[kWidth];
      load(reinterpret_cast<const T*>(w + (first + r) * bytes) + lane * kWidth, a);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sums[r] = fmaf(a[j], b[j], sums[r]);
    }
#pragma unroll
    for (int r = 0; r < kTogether; ++r) {
      const float sum = sum_lanes(sums[r]);
      if (lane == 0 && first + r < rows) to[first + r] = sum;
    }
  }
}

template <class T> __device__ inline void multiply_rows(const Piece& piece, const unsigned char* w, const unsigned char* x, float* to) {
  const int bytes = piece.row_bytes();
  if (bytes <= 32 * 16) return multiply_short_rows<T>(w, x, piece.rows, bytes, to);
  const unsigned char* part = x + piece.segment * piece.product->segment_bytes;
#pragma unroll 1
  for (int r = 0; r < piece.rows; ++r) {
    const float sum = dot<T>(w + r * bytes, part, bytes / 16);
    if (own_lane() == 0) to[r] = sum;
  }
}

template <class T> __device__ inline void multiply_piece(const Piece& piece, const unsigned char* w, const unsigned char* x, float* to) {
  const Product& p = piece.product->base;
  if (p.type == DType::kF32) return multiply_rows<float>(piece, w, x, to);
  if constexpr (!std::is_same_v<T, float>) multiply_rows<T>(piece, w, x, to);
}

// One more token of the convolution of an output, which was `value`.
template <class T> __device__ inline void convolve(const StepConvolution& conv, int output, float value) {
  const int c = output - conv.first;
  if (c < 0 || c >= conv.dim) return;
  value = rounded<T>(value);
  float window[kStepTaps], sum = conv.bias ? conv.bias[c] : 0.0f;
#pragma unroll
  for (int j = 0; j < kStepTaps; ++j) {
    if (j < conv.taps) window[j] = j + 1 < conv.taps ? conv.window[j * conv.dim + c] : value;
  }
#pragma unroll
  for (int j = 0; j < kStepTaps; ++j) {
    if (j < conv.taps) sum = fmaf(conv.w[j * conv.dim + c], window[j], sum);
  }
  static_cast<T*>(conv.y)[c] = from_float<T>(conv.activation == Activation::kSilu ? silu(sum) : sum);
#pragma unroll
  for (int j = 0; j + 1 < kStepTaps; ++j) {
    if (j + 1 < conv.taps) conv.window[j * conv.dim + c] = window[j + 1];
  }
}

// An output of a block's: the ending of its sum.
template <class T> struct Output {
  const StepProduct* product = nullptr;
  int output = 0;
  Ending ending;

  __device__ void read(const StepProducts& all, const UnitRange& units, int item) {
    const int unit = units.begin + (item >> all.unit_shift), row = item & ((1 << all.unit_shift) - 1);
    product = nullptr;
    if (unit >= units.end) return;
    const StepProduct& p = product_of(all, unit);
    output = ((unit - p.first_unit) << p.unit_shift) + row;
    if (row >> p.unit_shift != 0 || output >= p.base.out) return;
    product = &p;
    ending = Ending();
    ending.read(p.base, 0, output);
  }
  __device__ void finish(const StepProducts& all, const float* parts, int item) const {
    if (!product) return;
    const int unit = item >> all.unit_shift, row = item & ((1 << all.unit_shift) - 1);
    float sum = 0;
    for (int s = 0; s < 1 << all.segment_shift; ++s) sum += parts[(((unit << all.segment_shift) + s) << all.unit_shift) + row];
    const Product& p = product->base;
    float value = fmaf(sum, ending.scale, ending.bias);
    if (p.function != Function::kIdentity) value = evaluate(value, p.function);
    value = fmaf(value, ending.gate, ending.residual);
    store_element(p.y, p.y_type, output, value);
    if (all.convolution.taps > 0 && product == &all.product[0]) convolve<T>(all.convolution, output, value);
  }
};

// The inputs that the block's units need, but for one that a norm has put there.
__device__ inline void read_inputs(const StepProducts& all, const UnitRange& units) {
  unsigned needed = 0;
#pragma unroll 1
  for (int i = 0; i < all.count; ++i) {
    const int end = i + 1 < all.count ? all.product[i + 1].first_unit : all.units;
    if (all.product[i].first_unit < units.end && end > units.begin) needed |= 1u << all.product[i].input;
  }
#pragma unroll 1
  for (int i = all.has_norm ? 1 : 0; i < all.inputs; ++i) {
    if ((needed >> i & 1) == 0) continue;
    const auto* from = static_cast<const uint4*>(all.input[i].x);
    auto* to = reinterpret_cast<uint4*>(own_shared().inputs + all.input[i].place);
#pragma unroll 2
    for (int v = static_cast<int>(threadIdx.x); v < all.input[i].bytes / 16; v += kStepThreads) to[v] = from[v];
  }
}

// The first input, where it is a row's norm.
template <class T> __device__ inline void norm_input(const StepProducts& all) {
  const UnitRange units(all.shares);
  T* to = reinterpret_cast<T*>(own_shared().inputs + all.input[0].place);
  normalize_row<T>(all.norm, to, units.begin == 0 ? static_cast<T*>(all.norm.y) : nullptr);
}

// What runs between two barriers had better stay in registers and in the instruction cache: weights push all else out of the caches. So no
// functions are called here, and code is there once.
template <class T> __device__ __noinline__ void run_products(const StepProducts& all) {
  const UnitRange units(all.shares);
  const int first_piece = own_shared().first_piece;
  read_inputs(all, units);
  const int thread = static_cast<int>(threadIdx.x);
  Output<T> own;
  own.read(all, units, thread);
  sync_workers();
  const int pieces = pieces_of_block(all);
  // A warp's pieces are those of its slots.
#pragma unroll 1
  for (int index = (own_warp() + kStepWarps - first_piece % kStepWarps) % kStepWarps; index < pieces; index += kStepWarps) {
    const Piece piece(all, units.begin, index);
    const unsigned char* x = own_shared().inputs + all.input[piece.product->input].place;
    multiply_piece<T>(piece, piece_at(first_piece + index), x, own_shared().parts + (index << all.unit_shift));
    release_piece(first_piece + index);
  }
  sync_workers();
  const int items = (units.end - units.begin) << all.unit_shift;
#pragma unroll 1
  for (int item = thread; item < items; item += kStepThreads) {
    if (item != thread) own.read(all, units, item);
    own.finish(all, own_shared().parts, item);
  }
}

// ---- Heads ------------------------------------------------------------------------------------------------------------------------------

template <class T> __device__ __noinline__ void run_rwkv7_heads(const StepInstruction& instruction) {
  struct Memory {
    Stage<1, kStepHead, kStepHead, true> stage;
    Parts<1, kStepHead> parts;
  };
  static_assert(sizeof(Memory) <= kStepInputBytes);
  const auto& all = instruction.as<StepRwkv7Heads<T>>();
  auto& memory = *reinterpret_cast<Memory*>(own_shared().inputs);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kKeyLanes, column = thread / kKeyLanes * kThreadColumns;
  const bool works = thread < workers_of(kStepHead), leads = thread < 32;
  bool met = false;
  for (int head = static_cast<int>(blockIdx.x); head < all.in.groups; head += static_cast<int>(gridDim.x)) {
    const int first = head * kStepHead + 2 * thread;
    HeadStep<T> step;
    Cells<kStepHead> cells;
    if (leads) step.read_weights(all.in, all.out, first);
    if (works) cells.read(all.recurrence, head, column, lane);
    if (!met) meet(instruction);
    met = true;
    if (leads) step.enter(all.in, all.out, 0, first, memory.stage);
    sync_workers();
    if (works) {
      advance_all<false>(cells, memory.stage, 1, column, lane, memory.parts);
      cells.write(all.recurrence, head, column, lane);
    }
    sync_workers();
    if (!leads) continue;
    float y[2] = {memory.parts.sum(0, 2 * thread), memory.parts.sum(0, 2 * thread + 1)};
    step.leave(all.out, 0, first, y);
  }
  if (!met) meet(instruction);
}

// A block takes up to 64 columns of a head.
template <class T> __device__ __noinline__ void run_recurrence(const StepInstruction& instruction) {
  struct Memory {
    Stage<1, kStepKeys, kStepHead, false> stage;
    Parts<1, kStepHead> parts;
  };
  static_assert(sizeof(Memory) <= kStepInputBytes);
  constexpr int kWorkers = workers_of(kStepHead);
  const auto& all = instruction.as<StepRecurrence>();
  const RecurrenceParams& p = all.recurrence;
  auto& memory = *reinterpret_cast<Memory*>(own_shared().inputs);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kKeyLanes, own_column = thread / kKeyLanes * kThreadColumns;
  const bool works = thread < kWorkers;
  const int parts = (p.value_dim + kStepHead - 1) / kStepHead;
  bool met = false;
  for (int item = static_cast<int>(blockIdx.x); item < all.heads * parts; item += static_cast<int>(gridDim.x)) {
    const int head = item / parts, column = item % parts * kStepHead;
    Cells<kStepKeys> cells;
    if (works) cells.read(p, head, column + own_column, lane);
    if (!met) meet(instruction);
    met = true;
    if (works) {
      Arriving<kWorkers, T, 1, kStepKeys, kStepHead, false> vectors;
      vectors.read(p, 0, 1, head, column, thread);
      vectors.put(memory.stage, p, 1, head, column, thread);
    }
    sync_workers();
    if (works) {
      advance_all<false>(cells, memory.stage, 1, own_column, lane, memory.parts);
      cells.write(p, head, column + own_column, lane);
    }
    sync_workers();
    if (thread < kStepHead && column + thread < p.value_dim) {
      float y = fmaf(p.skip ? p.skip[head] : 0.0f, memory.stage.v[0][thread], memory.parts.sum(0, thread));
      if (p.gate) y *= silu(to_float(static_cast<const T*>(p.gate)[head * p.gate_head + column + thread]));
      static_cast<T*>(p.y)[head * p.y_head + column + thread] = from_float<T>(y);
    }
    sync_workers();
  }
  if (!met) meet(instruction);
}

// The present instruction, found anew after a call.
__device__ inline const StepInstruction& present() { return own_shared().known[own_shared().current % kStepKnown]; }

template <class T> __device__ inline void run() {
  const StepInstruction& instruction = instruction_at(own_shared().current);
  switch (instruction.kind) {
    case StepKind::kProducts:
      meet(instruction);
      if (instruction.as<StepProducts>().has_norm) norm_input<T>(instruction.as<StepProducts>());
      run_products<T>(present().as<StepProducts>());
      return advance(pieces_of_block(present().as<StepProducts>()));
    case StepKind::kMix: run_mix<T>(instruction); break;
    case StepKind::kNorm: run_norm<T>(instruction); break;
    case StepKind::kRwkv7Heads: run_rwkv7_heads<T>(instruction); break;
    case StepKind::kRecurrence: run_recurrence<T>(instruction); break;
  }
  advance(0);
}

#endif

constexpr int kAllThreads = kStepThreads + kStepCopiers * 32;  // 512, with 128 registers each

template <class T> __global__ void __launch_bounds__(kAllThreads, 1) step_kernel(const __grid_constant__ StepProgram program) {
#if LINEA_HOPPER_CODE
  if (threadIdx.x == 0) begin(program);
  __syncthreads();
  if (threadIdx.x >= kStepThreads) {
    if (own_lane() == 0) copy_pieces(own_warp() - kStepWarps);
    return;
  }
#pragma unroll 1
  while (own_shared().current < program.instruction_count) run<T>();
#endif
}

template <class T> void launch(const StepProgram& program, int device, cudaStream_t stream) {
  constexpr auto kOp = "step";
  constexpr auto kKernel = step_kernel<T>;
  allow_shared(kKernel, sizeof(Shared), kOp);
  cudaLaunchAttribute together = {};
  together.id = cudaLaunchAttributeCooperative;  // all blocks at once, or none
  together.val.cooperative = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(processors_of(device)));
  config.blockDim = dim3(kAllThreads);
  config.dynamicSmemBytes = sizeof(Shared);
  config.stream = stream;
  config.attrs = &together;
  config.numAttrs = 1;
  check(cudaLaunchKernelEx(&config, kKernel, program), kOp, "cudaLaunchKernelEx");
}

}  // namespace

void launch_step(DType type, const StepProgram& program, int device, cudaStream_t stream) {
  with_type(type, "step", [&](auto tag) { launch<typename decltype(tag)::type>(program, device, stream); });
}

}  // namespace linea::cuda
