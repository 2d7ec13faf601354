// kernels/cuda/recurrence_chunks.cu: the recurrence of linear attentions for prompts, in chunks of sixteen tokens on tensor cores.
//
// Maths    as linear_recurrence has it, in the forms of device/recurrence_chunks.cuh
// Shape    RWKV-7 7.2B: 64 heads of 64×64 with the delta rule; Mamba-2 2.7B: 80 heads of 128×64; thousands of tokens.
// Tiles    a block takes 64 columns of a head. Four warps hold Sᵀ of 16 columns each as sums of 16×8×16 products, which are the left
//          operand of the next chunk's products as they lie. Up to eight others make chunks' operands, each in a slot of its own of shared
//          memory, and write the results of the chunk that was in the slot before; what they need from memory they ask for before they
//          wait.
// Traffic  a token's vectors once a head, y once; S once in and out: 4096 tokens of RWKV-7 7.2B 270 MB, 0.1 ms.
// Roofline 114 products of 16×8×16 (delta rule) or 66 (one decay, bf16) a warp and chunk, 8 cycles each: 4096 tokens take at least 0.13 and
//          0.08 ms, however many heads there are. Measured: 0.38 and 0.24 ms.
// Accuracy f32 values as two bf16 parts, 2^-16; sums in f32. Chunks begin where the call begins, so bits depend on where a text was split;
//          the recurrence token by token (recurrence.cu) keeps them, and stays what f32 models use.
#include "kernels/cuda/recurrence_chunks.h"

#include "kernels/cuda/device/recurrence_chunks.cuh"
#include "kernels/cuda/device/shared_barrier.cuh"
#include "kernels/cuda/device_facts.h"

namespace linea::cuda {
namespace {

constexpr int kLeastTokens = 64;  // fewer are not worth the pipeline's start
constexpr int kWorkerWarps = kChunkColumns / 16, kMostSlots = 8;
constexpr int64_t kHopperBytes = 227 << 10;

// A slot's operands and the two meetings of its maker and the workers, each once a turn: when it is full and when it is used up.
template <class Chunk> struct Slot {
  Chunk chunk;
  SharedBarrier full, used;
};

// Sᵀ of sixteen columns: element i of tile n lies at column g + 8 (i / 2) and key 16 c + 8 n + 2 t + i mod 2 (g = lane / 4, t = lane mod
// 4).
template <int kKeys> struct StateColumns {
  static constexpr int kTiles = kKeys / 16;
  Sums s[kTiles];

  template <class Move> __device__ void for_all(const RecurrenceParams& p, int64_t state_head, int column, int lane, Move move) {
    float* base = p.state + state_head * kKeys * p.value_dim + column;
#pragma unroll
    for (int c = 0; c < kTiles; ++c) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int key = 16 * c + 8 * (i / 4) + lane % 4 * 2 + i % 2, row = lane / 4 + i / 2 % 2 * 8;
        move(base[static_cast<int64_t>(key) * p.value_dim + row], s[c][i / 4][i % 4]);
      }
    }
  }
  template <bool kChannels> __device__ void decay(const float* decay, int lane) {
#pragma unroll
    for (int c = 0; c < kTiles; ++c) {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        float d[2] = {*decay, *decay};
        if constexpr (kChannels) load(decay + 16 * c + 8 * n + lane % 4 * 2, d);
#pragma unroll
        for (int i = 0; i < 4; ++i) s[c][n][i] *= d[i % 2];
      }
    }
  }
};

// What a chunk gives to sixteen columns, and what it makes of their state.
template <int kKeys, bool kLow>
__device__ inline void advance_chunk(StateColumns<kKeys>& state, const DeltaChunk<kKeys, kLow>& chunk, int column, int lane, Sums& y) {
  Sums erased = {};
  state.template decay<true>(chunk.decay, lane);
#pragma unroll
  for (int c = 0; c < kKeys / 16; ++c) {
    const SplitFragment s = split_sums(state.s[c]);
    multiply_split<true, true>(erased, s, chunk.w.right_rows(16 * c, lane));
    multiply_split<true, true>(y, s, chunk.r.right_rows(16 * c, lane));
  }
  const SplitFragment v = chunk.v.left_columns(column, lane);
  multiply_split<kLow, true>(erased, v, chunk.values.right_rows(0, lane));
  multiply_split<kLow, true>(y, v, chunk.from_values.right_rows(0, lane));
  const SplitFragment e = split_sums(erased);
  multiply_split<true, true>(y, e, chunk.from_erased.right_rows(0, lane));
#pragma unroll
  for (int c = 0; c < kKeys / 16; ++c) {
    multiply_split<kLow, true>(state.s[c], v, chunk.k.right_columns(16 * c, lane));
    multiply_split<true, true>(state.s[c], e, chunk.b.right_columns(16 * c, lane));
  }
}

template <int kKeys, bool kLow>
__device__ inline void advance_chunk(StateColumns<kKeys>& state, const ScalarChunk<kKeys, kLow>& chunk, int column, int lane, Sums& y) {
#pragma unroll
  for (int c = 0; c < kKeys / 16; ++c) multiply_split<true, kLow>(y, split_sums(state.s[c]), chunk.q.right_rows(16 * c, lane));
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    float growth[2];
    load(&chunk.growth[8 * n + lane % 4 * 2], growth);
#pragma unroll
    for (int i = 0; i < 4; ++i) y[n][i] *= growth[i % 2];
  }
  state.template decay<false>(&chunk.decay, lane);
  const SplitFragment v = chunk.v.left_columns(column, lane);
  multiply_split<kLow, true>(y, v, chunk.scores.right_rows(0, lane));
#pragma unroll
  for (int c = 0; c < kKeys / 16; ++c) multiply_split<kLow, true>(state.s[c], v, chunk.k.right_columns(16 * c, lane));
}

template <int kKeys, bool kLow>
__device__ inline void advance_chunk(StateColumns<kKeys>& state, const ChannelChunk<kKeys, kLow>& chunk, int column, int lane, Sums& y) {
#pragma unroll
  for (int c = 0; c < kKeys / 16; ++c) multiply_split<true, true>(y, split_sums(state.s[c]), chunk.q.right_rows(16 * c, lane));
  state.template decay<true>(chunk.decay, lane);
  const SplitFragment v = chunk.v.left_columns(column, lane);
  multiply_split<kLow, true>(y, v, chunk.scores.right_rows(0, lane));
#pragma unroll
  for (int c = 0; c < kKeys / 16; ++c) multiply_split<kLow, true>(state.s[c], v, chunk.k.right_columns(16 * c, lane));
}

template <class Chunk, int kKeys, int kSlots>
__device__ void advance_all_chunks(Slot<Chunk>* slots, const RecurrenceParams& p, int64_t state_head, int block_column, int chunks) {
  const int lane = static_cast<int>(threadIdx.x) % 32, column = static_cast<int>(threadIdx.x) / 32 * 16;
  StateColumns<kKeys> state;
  state.for_all(p, state_head, block_column + column, lane, [](float& from, float& to) { to = from; });
  for (int c = 0; c < chunks; ++c) {
    Sums y = {};
    Slot<Chunk>& slot = slots[c % kSlots];
    Chunk& chunk = slot.chunk;
    slot.full.wait(c / kSlots);
    advance_chunk(state, chunk, column, lane, y);
#pragma unroll
    for (int i = 0; i < 8; ++i) chunk.results.y[8 * (i / 4) + lane % 4 * 2 + i % 2][column + lane / 4 + i / 2 % 2 * 8] = y[i / 4][i % 4];
    slot.used.arrive();
  }
  state.for_all(p, state_head, block_column + column, lane, [](float& to, float& from) { to = from; });
}

template <class T, class Chunk, int kSlots>
__device__ void make_all_chunks(Slot<Chunk>* slots, const RecurrenceParams& p, int64_t sequence, int64_t head, int block_column,
                                int chunks) {
  const int lane = static_cast<int>(threadIdx.x) % 32, own = static_cast<int>(threadIdx.x) / 32 - kWorkerWarps;
  Slot<Chunk>& slot = slots[own];
  const auto place = [&](int c) {
    const int64_t first = static_cast<int64_t>(c) * kChunk;
    return ChunkPlace{sequence * p.tokens + first, head, static_cast<int>(min(static_cast<int64_t>(kChunk), p.tokens - first)),
                      block_column};
  };
  typename ChunkParts<T, Chunk>::Vectors vectors;
  typename ChunkParts<T, Chunk>::Ending ending;
  const auto end = [&](int c) {
    ending.read(p, place(c), lane);
    slot.used.wait(c / kSlots);
    ending.write(slot.chunk, p, place(c), lane);
    __syncwarp();
  };
  int c = own;
  for (; c < chunks; c += kSlots) {
    vectors.read(p, place(c), lane);
    if (c >= kSlots) end(c - kSlots);
    make_chunk(slot.chunk, vectors, lane);
    slot.full.arrive();
  }
  if (c >= kSlots) end(c - kSlots);
}

// blockIdx: x = head, y = columns, z = sequence
template <class T, class Chunk, int kKeys, int kSlots>
__global__ void __launch_bounds__((kWorkerWarps + kSlots) * 32, 1) chunks_kernel(const __grid_constant__ RecurrenceParams p) {
  extern __shared__ __align__(16) char memory[];
  auto* slots = reinterpret_cast<Slot<Chunk>*>(memory);
  const int64_t sequence = blockIdx.z, head = blockIdx.x;
  const int column = static_cast<int>(blockIdx.y) * kChunkColumns, chunks = static_cast<int>((p.tokens + kChunk - 1) / kChunk);
  if (threadIdx.x < kSlots) {
    slots[threadIdx.x].full.init(32);
    slots[threadIdx.x].used.init(kWorkerWarps * 32);
  }
  __syncthreads();
  follow_previous();
  if (threadIdx.x < kWorkerWarps * 32) {
    advance_all_chunks<Chunk, kKeys, kSlots>(slots, p, sequence * gridDim.x + head, column, chunks);
  } else {
    make_all_chunks<T, Chunk, kSlots>(slots, p, sequence, head, column, chunks);
  }
}

template <class T, class Chunk, int kKeys, int kSlots>
bool launch_slots(const RecurrenceParams& p, int64_t heads, int64_t sequences, int64_t shared_bytes, cudaStream_t stream) {
  constexpr auto kKernel = chunks_kernel<T, Chunk, kKeys, kSlots>;
  constexpr int64_t kBytes = kSlots * sizeof(Slot<Chunk>);
  if (kBytes > shared_bytes) return false;
  allow_shared(kKernel, kBytes, "linear_recurrence");
  const dim3 blocks(static_cast<unsigned>(heads), static_cast<unsigned>(p.value_dim / kChunkColumns), static_cast<unsigned>(sequences));
  launch_chained("linear_recurrence", kKernel, blocks, (kWorkerWarps + kSlots) * 32, kBytes, stream, p);
  return true;
}

// As many slots as fit Hopper's shared memory; three where there is less.
template <class T, template <int, bool> class Chunk, int kKeys>
bool launch_keys(const RecurrenceParams& p, int64_t heads, int64_t sequences, int64_t shared_bytes, cudaStream_t stream) {
  using Operands = Chunk<kKeys, !std::is_same_v<T, __nv_bfloat16>>;
  constexpr int kMost = std::min(kMostSlots, static_cast<int>(kHopperBytes / sizeof(Slot<Operands>)));
  return launch_slots<T, Operands, kKeys, kMost>(p, heads, sequences, shared_bytes, stream) ||
         launch_slots<T, Operands, kKeys, 3>(p, heads, sequences, shared_bytes, stream);
}

template <class T>
bool launch_type(const RecurrenceParams& p, int64_t heads, int64_t sequences, int64_t shared_bytes, cudaStream_t stream) {
  if (p.a) return launch_keys<T, DeltaChunk, 64>(p, heads, sequences, shared_bytes, stream);
  if (p.decay_per_channel) return launch_keys<T, ChannelChunk, 64>(p, heads, sequences, shared_bytes, stream);
  if (p.key_dim == 64) return launch_keys<T, ScalarChunk, 64>(p, heads, sequences, shared_bytes, stream);
  return launch_keys<T, ScalarChunk, 128>(p, heads, sequences, shared_bytes, stream);
}

bool pairs_lie_together(const void* base, int64_t token, int64_t head, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(base) % static_cast<uintptr_t>(2 * bytes) == 0 && token % 2 == 0 && head % 2 == 0;
}

bool has_chunks(const RecurrenceParams& p, float least_log_decay) {
  if (p.type == DType::kF32 || p.tokens < kLeastTokens || !p.vectorised_keys) return false;
  if (p.value_dim % kChunkColumns != 0 || !pairs_lie_together(p.v, p.v_token, p.v_head, 2) ||
      !pairs_lie_together(p.y, p.y_token, p.y_head, 2) || !pairs_lie_together(p.gate, p.gate_token, p.gate_head, 2))
    return false;
  if (!p.a && !p.decay_per_channel) return !p.read_before_write && (p.key_dim == 64 || p.key_dim == 128);
  if (p.key_dim != 64 || !p.decay_per_channel || !pairs_lie_together(p.log_decay, p.decay_token, p.decay_head, 4)) return false;
  if (p.value_scale || p.step || p.skip || p.gate) return false;
  constexpr float kLeast = -40.0f / kChunk;  // e^±40 of a chunk stays far within f32
  return p.a ? !p.read_before_write && least_log_decay >= kLeast : p.read_before_write;
}

}  // namespace

bool launch_chunks(const RecurrenceParams& p, float least_log_decay, int64_t heads, int64_t sequences, int device, cudaStream_t stream) {
  if (!has_chunks(p, least_log_decay)) return false;
  const int64_t shared_bytes = shared_bytes_of(device);
  return p.type == DType::kBF16 ? launch_type<__nv_bfloat16>(p, heads, sequences, shared_bytes, stream)
                                : launch_type<__half>(p, heads, sequences, shared_bytes, stream);
}

}  // namespace linea::cuda
