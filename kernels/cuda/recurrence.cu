// kernels/cuda/recurrence.cu: the recurrence of linear attentions, token by token.
//
// Maths    S ← diag(w) S - b (aᵀ S) + k (s v)ᵀ,   y = Sᵀ q + D v      with S [dk, dv] of a head
// Shape    RWKV-7 7.2B: 64 heads of 64×64, with the delta rule; Mamba-2 2.7B: 80 heads of 128×64. One token, or a prefill of thousands.
// Tiles    a block takes 32 columns of a head's S. Four warps, one on each scheduler, hold them in registers through all tokens
//          (device/recurrence.cuh); four others run ahead, reading two stages of tokens ahead and widening the next one's vectors into
//          shared memory, and behind, adding up what the last one gave. For one token of each sequence four warps do all, so that six
//          blocks and their 96 KB of S are on a processor.
// Traffic  S once in and out a call; a token's vectors once for every 32 columns, from the second-level cache all but the first time.
// Roofline decode: 2 MB of state a layer of RWKV-7 7.2B, 0.7 µs at 2.98 TB/s, so a launch; 64 texts of Mamba-2 2.7B, 336 MB in and out a
//          layer, 87 µs at 3.88 TB/s (120 measured, about 152 with the eight warps of many tokens). Prefill of RWKV-7: a token's chain is
//          16 fused products, three exchanges between lanes and 64 fused products, about 200 cycles if nothing waits; 4096 tokens then take
//          0.5 ms and 32 layers 15 ms beside 73 ms of matrix products. Measured: 1.5 ms; 1.9 ms with the loaders' reads waited for within a
//          stage, 2.0 ms with half the workers and a butterfly for y. A chunked form on tensor cores would need 0.1 ms (its vectors'
//          bytes), at the price of bits that depend on where a text was split; this one keeps them.
// Accuracy f32. A token's arithmetic does not depend on where a call began: equal bits for any split of a sequence.
#include "kernels/cuda/device/recurrence.cuh"
#include "kernels/cuda/device/shared_barrier.cuh"
#include "kernels/cuda/recurrence_chunks.h"
#include "kernels/cuda/step_program.h"

namespace linea {

namespace cuda {
namespace {

constexpr int kColumns = 32, kWorkers = workers_of(kColumns), kLoaders = 128;
constexpr int kTokenBlocks = 6;  // of single tokens, on a multiprocessor

// kTokens are worked on while as many are fetched; more than one block fits a processor.
template <int kTokens, int kKeys, bool kDelta> struct Shared {
  Stage<kTokens, kKeys, kColumns, kDelta> stages[2];
  Parts<kTokens, kColumns> parts[2];
  SharedBarrier meeting;  // of all threads, after every stage
};

// The loaders' second part: y of the tokens from `first`.
template <class T, int kTokens, int kKeys, bool kDelta>
__device__ void finish_with(const Shared<kTokens, kKeys, kDelta>& shared, int which, const RecurrenceParams& p, int64_t first, int tokens,
                            int64_t head, int block_column, int thread) {
  constexpr int kValues = (kTokens * kColumns + kLoaders - 1) / kLoaders;
  const float skip = p.skip ? p.skip[head] : 0.0f;
  T gates[kValues];
  if (p.gate) {
#pragma unroll
    for (int n = 0; n < kValues; ++n) {  // all reads before the first use; what is read of values that do not exist is not used
      const int i = thread + n * kLoaders, column = min(block_column + i % kColumns, p.value_dim - 1);
      gates[n] = static_cast<const T*>(p.gate)[(first + min(i / kColumns, tokens - 1)) * p.gate_token + head * p.gate_head + column];
    }
  }
#pragma unroll
  for (int n = 0; n < kValues; ++n) {
    const int i = thread + n * kLoaders, token = i / kColumns, column = i % kColumns;
    if (token >= tokens || block_column + column >= p.value_dim) continue;
    float y = fmaf(skip, shared.stages[which].v[token][column], shared.parts[which].sum(token, column));
    if (p.gate) y *= silu(to_float(gates[n]));
    static_cast<T*>(p.y)[(first + token) * p.y_token + head * p.y_head + block_column + column] = from_float<T>(y);
  }
}

// A block's way through the tokens of its sequence: workers and loaders meet after every stage.
struct Course {
  int64_t begin, end, head;
  int block_column;

  __device__ int count(int64_t first, int most) const { return static_cast<int>(min(static_cast<int64_t>(most), end - first)); }
};

// Workers and loaders meet at places of their own, which __syncthreads() does not allow.
class Meetings {
 public:
  __device__ explicit Meetings(SharedBarrier& barrier) : barrier_(barrier) {}
  __device__ void meet() {
    barrier_.arrive();
    barrier_.wait(turn_++);
  }

 private:
  SharedBarrier& barrier_;
  int turn_ = 0;
};

// While a stage is worked on, the loaders add up what the one before gave, put the next one's vectors in its place and ask for those after.
template <class T, int kTokens, int kKeys, bool kDelta>
__device__ void load_all(Shared<kTokens, kKeys, kDelta>& shared, const RecurrenceParams& p, const Course& c, int thread) {
  Arriving<kLoaders, T, kTokens, kKeys, kColumns, kDelta> vectors;
  Meetings meetings(shared.meeting);
  const auto read = [&](int64_t first) {
    if (first < c.end) vectors.read(p, first, c.count(first, kTokens), c.head, c.block_column, thread);
  };
  const auto put = [&](int which, int64_t first) {
    if (first < c.end) vectors.put(shared.stages[which], p, c.count(first, kTokens), c.head, c.block_column, thread);
  };
  const auto finish = [&](int which, int64_t first) {
    finish_with<T>(shared, which, p, first, c.count(first, kTokens), c.head, c.block_column, thread);
  };
  read(c.begin);
  put(0, c.begin);
  read(c.begin + kTokens);
  meetings.meet();
  int current = 0;
  for (int64_t first = c.begin; first < c.end; first += kTokens) {
    if (first > c.begin) finish(1 - current, first - kTokens);
    put(1 - current, first + kTokens);  // the values that a thread replaces are those that it has just read in finish()
    read(first + 2 * kTokens);
    current = 1 - current;
    meetings.meet();
  }
  finish(1 - current, c.begin + (c.end - 1 - c.begin) / kTokens * kTokens);
}

template <bool kReadBefore, int kTokens, int kKeys, bool kDelta>
__device__ void work_on_all(Shared<kTokens, kKeys, kDelta>& shared, const RecurrenceParams& p, const Course& c, int64_t state_head,
                            int thread) {
  const int lane = thread % kKeyLanes, own_column = thread / kKeyLanes * kThreadColumns;
  Meetings meetings(shared.meeting);
  Cells<kKeys> cells;
  cells.read(p, state_head, c.block_column + own_column, lane);
  meetings.meet();
  int current = 0;
  for (int64_t first = c.begin; first < c.end; first += kTokens) {
    advance_all<kReadBefore>(cells, shared.stages[current], c.count(first, kTokens), own_column, lane, shared.parts[current]);
    current = 1 - current;
    meetings.meet();
  }
  cells.write(p, state_head, c.block_column + own_column, lane);
}

template <int kTokens, int kKeys, bool kDelta, bool kReadBefore>
__global__ void __launch_bounds__(kWorkers + kLoaders, kKeys <= 128 ? 2 : 1) recurrence_kernel(const __grid_constant__ RecurrenceParams p) {
  extern __shared__ __align__(16) char memory[];
  auto& shared = *reinterpret_cast<Shared<kTokens, kKeys, kDelta>*>(memory);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t state_head = static_cast<int64_t>(blockIdx.z) * gridDim.x + blockIdx.x, begin = blockIdx.z * p.tokens;
  const Course course = {begin, begin + p.tokens, blockIdx.x, static_cast<int>(blockIdx.y) * kColumns};
  if (thread == 0) {
    if (blockIdx.y == 0) expect_state(p, state_head);
    shared.meeting.init(kWorkers + kLoaders);
  }
  __syncthreads();
  follow_previous();
  if (thread < kWorkers) return work_on_all<kReadBefore>(shared, p, course, state_head, thread);  // whole warps
  with_element(p.type, [&](auto* tag) { load_all<std::remove_pointer_t<decltype(tag)>>(shared, p, course, thread - kWorkers); });
}

// One token of every sequence, with the same sums.
template <int kKeys, bool kDelta, bool kReadBefore>
__global__ void __launch_bounds__(kWorkers, kKeys <= 128 ? kTokenBlocks : 2) token_kernel(const __grid_constant__ RecurrenceParams p) {
  __shared__ Stage<1, kKeys, kColumns, kDelta> stage;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kKeyLanes, own_column = thread / kKeyLanes * kThreadColumns;
  const int block_column = static_cast<int>(blockIdx.y) * kColumns, column = block_column + own_column;
  const int64_t head = blockIdx.x, token = blockIdx.z, state_head = token * gridDim.x + head;
  if (thread == 0 && blockIdx.y == 0) expect_state(p, state_head);
  follow_previous();
  Cells<kKeys> cells;
  cells.read(p, state_head, column, lane);
  fill<kWorkers>(stage, p, token, 1, head, block_column, thread);
  __syncthreads();
  TokenVectors<kKeys, kDelta> vectors;
  float y[kThreadColumns];
  vectors.read(stage, 0, own_column, lane);
  advance<kReadBefore>(cells, vectors, y);
  cells.write(p, state_head, column, lane);
  sum_over_keys(y);  // in the order of Parts
  if (lane != 0) return;
  const float skip = p.skip ? p.skip[head] : 0.0f;
  with_element(p.type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    const T* gate = p.gate ? static_cast<const T*>(p.gate) + token * p.gate_token + head * p.gate_head + column : nullptr;
    T* to = static_cast<T*>(p.y) + token * p.y_token + head * p.y_head + column;
#pragma unroll
    for (int c = 0; c < kThreadColumns; ++c) {
      if (column + c >= p.value_dim) break;
      const float sum = fmaf(skip, stage.v[0][own_column + c], y[c]);
      to[c] = from_float<T>(gate ? sum * silu(to_float(gate[c])) : sum);
    }
  });
}

template <int kTokens, int kKeys, bool kDelta, bool kReadBefore>
void launch_form(const RecurrenceParams& p, dim3 blocks, cudaStream_t stream) {
  constexpr auto kOp = "linear_recurrence";
  if (p.tokens == 1) {
    return launch_chained(kOp, token_kernel<kKeys, kDelta, kReadBefore>, blocks, kWorkers, 0, stream, p);
  }
  constexpr auto kKernel = recurrence_kernel<kTokens, kKeys, kDelta, kReadBefore>;
  constexpr size_t kBytes = sizeof(Shared<kTokens, kKeys, kDelta>);
  allow_shared(kKernel, kBytes, kOp);
  launch_chained(kOp, kKernel, blocks, kWorkers + kLoaders, kBytes, stream, p);
}

// kTokens: of a stage in shared memory, for keys up to kKeys.
template <int kTokens, int kKeys> void launch(const RecurrenceParams& p, int64_t heads, int64_t sequences, cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>(heads), static_cast<unsigned>(ceil_div(p.value_dim, kColumns)), static_cast<unsigned>(sequences));
  const bool before = p.read_before_write;
  if (p.a && before) return launch_form<kTokens, kKeys, true, true>(p, blocks, stream);
  if (p.a) return launch_form<kTokens, kKeys, true, false>(p, blocks, stream);
  if (before) return launch_form<kTokens, kKeys, false, true>(p, blocks, stream);
  launch_form<kTokens, kKeys, false, false>(p, blocks, stream);
}

}  // namespace
}  // namespace cuda

using namespace cuda;

namespace {

void launch_recurrence(RecurrenceParams p, float least_log_decay, int64_t heads, int64_t sequences, int device, cudaStream_t stream) {
  p.tokens /= sequences;
  if (launch_chunks(p, least_log_decay, heads, sequences, device, stream)) return;
  if (p.key_dim <= 64) return launch<16, 64>(p, heads, sequences, stream);
  if (p.key_dim <= 128) return launch<16, 128>(p, heads, sequences, stream);
  if (p.key_dim <= 256) return launch<4, 256>(p, heads, sequences, stream);
  throw Error(ErrorKind::kDevice, "linear_recurrence with " + std::to_string(p.key_dim) + " keys a head does not run on CUDA devices",
              "choose --device cpu");
}

}  // namespace

void CudaBackend::mamba2_heads(Context& ctx, const Mamba2Heads& in, const Tensor& state, const Tensor& y) {
  if (ctx.planning() || y.elements() == 0) return;
  if (StepRecorder* recorder = StepRecorder::of(device_.index)) {
    if (recorder->mamba2_heads(in, state, y, [=, this, &ctx] { mamba2_heads(ctx, in, state, y); })) return;
  }
  launch_recurrence(mamba2_params(in, state, y), 0.0f, in.v.dim(1), sequences_of(state, 3), device_.index, enter());
}

void CudaBackend::linear_recurrence(Context&, const Tensor& q, const Tensor& k, const Tensor& v, const RecurrenceArgs& args,
                                    const Tensor& state, const Tensor& y) {
  const cudaStream_t stream = enter();
  if (v.elements() == 0) return;
  launch_recurrence(recurrence_params(q, k, v, args, state, y), args.least_log_decay, v.dim(1), sequences_of(state, 3), device_.index,
                    stream);
}

}  // namespace linea
