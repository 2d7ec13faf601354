// kernels/cuda/rwkv7.cu: what RWKV-7 does to its projections before its memory takes them, and to what its memory gives.
//
// Maths    as kernels/ops.h states it for rwkv7_inputs and rwkv7_outputs
// Shape    RWKV-7 7.2B: 64 heads of 64 channels; one token a decode step, thousands a prefill.
// Tiles    a warp takes a head of a token; every lane has two channels, which stay in registers for heads of 64. A decode step does both
//          and the recurrence between them in one launch: a block takes a head.
// Traffic  every tensor once: 4096 tokens of 4096 channels in 16 bits take 400 MB before and 200 MB after, 134 and 67 µs at 2.98 TB/s.
// Roofline bound by memory for prefill, by launches for one token.
// Accuracy f32 between load and store, rounded where the tensors in between would be; sums in one fixed order.
#include "kernels/cuda/device/recurrence.cuh"
#include "kernels/cuda/device/rwkv7.cuh"
#include "kernels/cuda/device_facts.h"
#include "kernels/cuda/step_program.h"
#include "kernels/recurrence_layout.h"

namespace linea {

namespace cuda {
namespace {

constexpr int kMostChannels = 64;                                         // of a head in the one launch
constexpr int kStepThreads = workers_of(kMostChannels), kHeadBlocks = 4;  // on a multiprocessor

// One token of heads of any size: the vectors pass through memory between the parts, as they do between the launches of more tokens, so
// that bits are the same.
template <class T>
__global__ void __launch_bounds__(kStepThreads)
    rwkv7_step_kernel(const __grid_constant__ Rwkv7InputsOp<T> in, const __grid_constant__ RecurrenceParams p,
                      const __grid_constant__ Rwkv7OutputsOp<T> out) {
  __shared__ Stage<1, kMostChannels, kMostChannels, true> stage;
  __shared__ Parts<1, kMostChannels> parts;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kKeyLanes, column = thread / kKeyLanes * kThreadColumns;
  const int head = static_cast<int>(blockIdx.x);
  const int64_t sequence = blockIdx.y, state_head = sequence * gridDim.x + head;
  follow_previous();
  Cells<kMostChannels> cells;
  cells.read(p, state_head, column, lane);
  if (thread < 32) in.template apply<1, 32>(sequence, head * in.size, nullptr);
  __syncthreads();
  fill<kStepThreads>(stage, p, sequence, 1, head, 0, thread);
  __syncthreads();
  advance_all<false>(cells, stage, 1, column, lane, parts);
  cells.write(p, state_head, column, lane);
  __syncthreads();
  if (thread < p.value_dim) out.y[sequence * out.y_pitch + head * out.size + thread] = from_float<T>(parts.sum(0, thread));
  __syncthreads();
  if (thread < 32) out.template apply<1, 32>(sequence, head * out.size, nullptr);
}

// Calls move(pointer to two cells of the state, their registers) for those that a thread holds of a whole head (Cells), which lie at
// constant distances from the first.
template <class Move>
__device__ inline void for_whole_rows(const RecurrenceParams& p, Cells<kMostChannels>& cells, int64_t head, int column, int lane,
                                      Move move) {
  float* first = p.state + (head * kMostChannels + lane * kKeyGroup) * kMostChannels + column;
#pragma unroll
  for (int i = 0; i < Cells<kMostChannels>::kGroups; ++i) {
#pragma unroll
    for (int j = 0; j < kKeyGroup; ++j) move(first + (i * kKeyLanes * kKeyGroup + j) * kMostChannels, cells.s[i][j]);
  }
}

// One token of heads of 64 channels, kept on the processor from the projections to the output. What rwkv7_inputs would replace stays as it
// was. Of many sequences, the state of the head `ahead` blocks later is asked into the second-level cache.
template <class T>
__global__ void __launch_bounds__(kStepThreads, kHeadBlocks)
    rwkv7_head_kernel(const __grid_constant__ Rwkv7InputsOp<T> in, const __grid_constant__ RecurrenceParams p,
                      const __grid_constant__ Rwkv7OutputsOp<T> out, int ahead) {
  __shared__ Stage<1, kMostChannels, kMostChannels, true> stage;
  __shared__ Parts<1, kMostChannels> parts;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kKeyLanes, column = thread / kKeyLanes * kThreadColumns;
  const int head = static_cast<int>(blockIdx.x), first = head * kMostChannels + 2 * thread;
  const int64_t sequence = blockIdx.y, state_head = sequence * gridDim.x + head;
  const bool leads = thread < 32;
  HeadStep<T> step;
  if (leads) {
    if (thread == 0) expect_state(p, state_head);
    step.read_weights(in, out, first);
  }
  follow_previous();
  if (thread == 32 && state_head + ahead < static_cast<int64_t>(gridDim.x) * gridDim.y) expect_state(p, state_head + ahead);
  Cells<kMostChannels> cells;
  if (leads) step.read(in, out, sequence, first);
  for_whole_rows(p, cells, state_head, column, lane, [](const float* from, float(&to)[kThreadColumns]) { load(from, to); });
  if (leads) step.enter(in, sequence, first, stage, /*keeps=*/false);
  __syncthreads();
  advance_all<false>(cells, stage, 1, column, lane, parts);
  for_whole_rows(p, cells, state_head, column, lane, [](float* to, float(&from)[kThreadColumns]) { store(to, from); });
  __syncthreads();
  if (!leads) return;
  float y[2] = {parts.sum(0, 2 * thread), parts.sum(0, 2 * thread + 1)};
  step.leave(out, y);
  store(out.y + sequence * out.y_pitch + first, y);
}

}  // namespace
}  // namespace cuda

using namespace cuda;

void CudaBackend::rwkv7_inputs(Context& ctx, const Rwkv7Inputs& in) {
  const char* op = "rwkv7_inputs";
  if (ctx.planning()) return;
  const cudaStream_t stream = enter();
  with_type(in.k.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map_groups(op, stream, inputs_op<T>(in), cuda::has_vectors(in));
  });
}

void CudaBackend::rwkv7_outputs(Context&, const Rwkv7Outputs& args, const Tensor& y) {
  const char* op = "rwkv7_outputs";
  const cudaStream_t stream = enter();
  with_type(y.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map_groups(op, stream, outputs_op<T>(args, y), cuda::has_vectors(args, y));
  });
}

void CudaBackend::rwkv7_heads(Context& ctx, const Rwkv7Inputs& in, const Tensor& state, const Rwkv7Outputs& out, const Tensor& y) {
  const char* op = "rwkv7_heads";
  const int64_t sequences = sequences_of(state, 3), size = y.dim(1) / in.heads;
  if (y.dim(0) != sequences || size > kMostChannels) return Backend::rwkv7_heads(ctx, in, state, out, y);
  if (ctx.planning()) return;
  if (StepRecorder* recorder = StepRecorder::of(device_.index)) {
    if (recorder->rwkv7_heads(in, state, out, y, [=, this, &ctx] { rwkv7_heads(ctx, in, state, out, y); })) return;
  }
  const cudaStream_t stream = enter();
  const dim3 blocks(static_cast<unsigned>(in.heads), static_cast<unsigned>(sequences));
  const bool pairs = size == kMostChannels && cuda::has_vectors(in) && cuda::has_vectors(out, y) && is_aligned(state.raw(), 0);
  with_type(y.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const RecurrenceParams p = head_params(in, out, state, y);
    const Rwkv7InputsOp<T> before = inputs_op<T>(in);
    const Rwkv7OutputsOp<T> after = outputs_op<T>(out, y);
    pairs ? launch_chained(op, rwkv7_head_kernel<T>, blocks, kStepThreads, 0, stream, before, p, after, 2 * processors_of(device_.index))
          : launch_chained(op, rwkv7_step_kernel<T>, blocks, kStepThreads, 0, stream, before, p, after);
  });
}

}  // namespace linea
