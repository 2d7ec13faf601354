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
#include "kernels/recurrence_layout.h"

namespace linea {

namespace cuda {
namespace {

constexpr int kMostChannels = 64;  // of a head in the one launch
constexpr int kStepThreads = workers_of(kMostChannels);

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

// Two channels of a head's vectors, a lane of one warp having those of its own: from the projections to what the memory takes, and from
// what it gives to the output. Every value is rounded where rwkv7_inputs, linear_recurrence and rwkv7_outputs store it.
template <class T> struct HeadStep {
  float k_k[2], k_a[2], u[2], norm_w[2], norm_bias[2];
  float q[2], k[2], v[2], g[2];

  __device__ void read_weights(const Rwkv7InputsOp<T>& in, const Rwkv7OutputsOp<T>& out, int c) {
    load(in.k_k + c, k_k);
    load(in.k_a + c, k_a);
    load(out.u + c, u);
    load(out.w + c, norm_w);
    load(out.bias + c, norm_bias);
  }

  template <class Stage> __device__ void enter(const Rwkv7InputsOp<T>& in, const Rwkv7OutputsOp<T>& out, int64_t row, int c, Stage& stage) {
    float rate[2], decay[2], first[2], share[2], direction[2];
    load(in.k + row * in.k_pitch + c, k);
    load(in.rate + row * in.rate_pitch + c, rate);
    load(in.decay + row * in.decay_pitch + c, decay);
    load(in.v + row * in.v_pitch + c, v);
    if (in.share) {
      load(in.v_first + row * in.v_first_pitch + c, first);
      load(in.share + row * in.share_pitch + c, share);
    }
    load(out.q + row * out.q_pitch + c, q);
    load(out.g + row * out.g_pitch + c, g);
    const float factor = direction_factor(sum_lanes(squares_of(k, k_k, 0.0f)));
    change_keys<T>(k, rate, direction, k_k, k_a, factor);
    const int i = static_cast<int>(threadIdx.x) * 2;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      if (in.share) v[j] = rounded<T>(fmaf(first[j] - v[j], share[j], v[j]));
      decay[j] *= kDecayScale;
      stage.w[0][i + j] = expf(decay[j]);
    }
    store(&stage.q[0][i], q);
    store(&stage.k[0][i], k);
    store(&stage.a[0][i], direction);
    store(&stage.b[0][i], rate);
    store(&stage.v[0][i], v);
    if (threadIdx.x == 0) stage.scale[0] = 1.0f;
    store(in.k + row * in.k_pitch + c, k);
    store(in.kk + row * in.kk_pitch + c, direction);
    store(in.rate + row * in.rate_pitch + c, rate);
    store(in.decay + row * in.decay_pitch + c, decay);
    if (in.share) store(in.v + row * in.v_pitch + c, v);
  }

  __device__ void leave(const Rwkv7OutputsOp<T>& out, int64_t row, int c, float (&y)[2]) const {
    float sum = 0, score = 0, squares = 0;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      y[j] = rounded<T>(y[j]);
      sum += y[j];
      score = fmaf(q[j] * k[j], u[j], score);
    }
    const float mean = sum_lanes(sum) / static_cast<float>(out.size);
    score = sum_lanes(score);
#pragma unroll
    for (int j = 0; j < 2; ++j) squares = fmaf(y[j] - mean, y[j] - mean, squares);
    const float factor = 1.0f / sqrtf(sum_lanes(squares) / static_cast<float>(out.size) + out.eps);
#pragma unroll
    for (int j = 0; j < 2; ++j) y[j] = fmaf(v[j], score, fmaf((y[j] - mean) * factor, norm_w[j], norm_bias[j])) * g[j];
    store(out.y + row * out.y_pitch + c, y);
  }
};

// One token of heads of 64 channels, kept on the processor from the projections to the output.
template <class T>
__global__ void __launch_bounds__(kStepThreads)
    rwkv7_head_kernel(const __grid_constant__ Rwkv7InputsOp<T> in, const __grid_constant__ RecurrenceParams p,
                      const __grid_constant__ Rwkv7OutputsOp<T> out) {
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
  Cells<kMostChannels> cells;
  cells.read(p, state_head, column, lane);
  if (leads) step.enter(in, out, sequence, first, stage);
  __syncthreads();
  advance_all<false>(cells, stage, 1, column, lane, parts);
  cells.write(p, state_head, column, lane);
  __syncthreads();
  if (!leads) return;
  float y[2] = {parts.sum(0, 2 * thread), parts.sum(0, 2 * thread + 1)};
  step.leave(out, sequence, first, y);
}

RecurrenceParams params_of(const Rwkv7Inputs& in, const Rwkv7Outputs& out, const Tensor& state, const Tensor& y) {
  const int64_t T = y.dim(0), H = in.heads, N = y.dim(1) / H;
  const auto heads = [&](const Tensor& t) { return t.reshape({T, H, N}); };
  auto p = recurrence_layout<RecurrenceParams>(heads(out.q), heads(in.k), heads(in.v),
                                               {.log_decay = heads(in.decay), .a = heads(in.kk), .b = heads(in.rate)}, state, heads(y));
  p.type = y.dtype();
  p.tokens = 1;
  p.vectorised_keys = heads_have_vectors(heads(out.q)) && heads_have_vectors(heads(in.k)) && heads_have_vectors(heads(in.kk)) &&
                      heads_have_vectors(heads(in.rate));
  p.vectorised_values = N % kThreadColumns == 0 && is_aligned(state.raw(), 0);
  return p;
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
  const cudaStream_t stream = enter();
  const dim3 blocks(static_cast<unsigned>(in.heads), static_cast<unsigned>(sequences));
  const bool pairs = size == kMostChannels && cuda::has_vectors(in) && cuda::has_vectors(out, y);
  with_type(y.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto kernel = pairs ? rwkv7_head_kernel<T> : rwkv7_step_kernel<T>;
    launch_chained(op, kernel, blocks, kStepThreads, 0, stream, inputs_op<T>(in), params_of(in, out, state, y), outputs_op<T>(out, y));
  });
}

}  // namespace linea
