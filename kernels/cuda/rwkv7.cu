// kernels/cuda/rwkv7.cu: what RWKV-7 does to its projections before its memory takes them, and to what its memory gives.
//
// Maths    as kernels/ops.h states it for rwkv7_inputs and rwkv7_outputs
// Shape    RWKV-7 7.2B: 64 heads of 64 channels; one token a decode step, thousands a prefill.
// Tiles    a warp takes a head of a token; every lane has two channels, which stay in registers for heads of 64. A decode step does both
//          and the recurrence between them in one launch: a block takes a head. So do the low-rank products before them where matrices
//          are in 8 bits or blocks and a step is launches: a head's rows of those come into shared memory, 123 KB at 7.2B, while the
//          kernel before runs, and are multiplied by tensor cores, sixteen at a time.
// Traffic  every tensor once: 4096 tokens of 4096 channels in 16 bits take 400 MB before and 200 MB after, 134 and 67 µs at 2.98 TB/s.
// Roofline bound by memory for prefill, by launches for one token.
// Accuracy f32 between load and store, rounded where the tensors in between would be; sums in one fixed order.
#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/device/recurrence.cuh"
#include "kernels/cuda/device/rwkv7.cuh"
#include "kernels/cuda/device/step_bodies.cuh"
#include "kernels/cuda/device_facts.h"
#include "kernels/cuda/rwkv7_heads.h"
#include "kernels/cuda/step_program.h"
#include "kernels/recurrence_layout.h"

namespace linea {

namespace cuda {
namespace {

constexpr int kMostChannels = 64;                                         // of a head in the one launch
constexpr int kHeadThreads = workers_of(kMostChannels), kHeadBlocks = 4;  // on a multiprocessor

// One token of heads of any size: the vectors pass through memory between the parts, as they do between the launches of more tokens, so
// that bits are the same.
template <class T>
__global__ void __launch_bounds__(kHeadThreads)
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
  fill<kHeadThreads>(stage, p, sequence, 1, head, 0, thread);
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
__global__ void __launch_bounds__(kHeadThreads, kHeadBlocks)
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

// The low-rank products of a head's channels, in the order of HeadValue; no bytes: there is none.
enum HeadValue : int { kDecays, kRates, kShares, kGates, kHeadValues };
struct HeadProjection {
  const void *w, *x;
  void* y;
  const float* bias;  // may be null
  int row_bytes;      // of W, and of x
  Function function;
};
struct HeadProjections {
  HeadProjection of[kHeadValues];
};

#if LINEA_HOPPER_CODE

// A head's rows of the matrices and their x in shared memory, one after the other.
struct HeadMatrices {
  unsigned char *w[kHeadValues], *x[kHeadValues];

  __device__ HeadMatrices(const HeadProjections& p, unsigned char* memory) {
#pragma unroll
    for (int i = 0; i < kHeadValues; ++i) {
      w[i] = memory;
      x[i] = memory + kMostChannels * p.of[i].row_bytes;
      memory = x[i] + p.of[i].row_bytes;
    }
  }
  // By one thread.
  __device__ void expect(const HeadProjections& p, int head, uint64_t* here) const {
    int bytes = 0;
#pragma unroll
    for (int i = 0; i < kHeadValues; ++i) bytes += kMostChannels * p.of[i].row_bytes;
    arrive_expecting(here, bytes);
#pragma unroll
    for (int i = 0; i < kHeadValues; ++i) {
      const int own = kMostChannels * p.of[i].row_bytes;
      if (own > 0) copy_bytes(w[i], static_cast<const unsigned char*>(p.of[i].w) + static_cast<int64_t>(head) * own, own, here);
    }
  }
  __device__ void read_inputs(const HeadProjections& p) const {
#pragma unroll
    for (int i = 0; i < kHeadValues; ++i) {
      for (int v = static_cast<int>(threadIdx.x); v < p.of[i].row_bytes / 16; v += kHeadThreads) {
        reinterpret_cast<uint4*>(x[i])[v] = static_cast<const uint4*>(p.of[i].x)[v];
      }
    }
  }
};

__device__ inline uint4 vector_of(const unsigned char* row, int v, bool exists) {
  return exists ? reinterpret_cast<const uint4*>(row)[v] : uint4{};
}

// Vectors [begin, end) of sixteen rows times x, which is every column of the right operand.
template <class T>
__device__ inline void multiply_sixteen(const unsigned char* w, int row_bytes, const unsigned char* x, int begin, int end, float* to) {
  const int lane = static_cast<int>(threadIdx.x) % 32, row = lane / 4;
  float sums[2][4] = {};
#pragma unroll 2
  for (int first = begin; first < end; first += 4) {
    const int v = first + lane % 4;
    const uint4 upper = vector_of(w + row * row_bytes, v, v < end), lower = vector_of(w + (row + 8) * row_bytes, v, v < end),
                right = vector_of(x, v, v < end);
    multiply<T>(sums[0], {upper.x, lower.x, upper.y, lower.y}, right.x, right.y);
    multiply<T>(sums[1], {upper.z, lower.z, upper.w, lower.w}, right.z, right.w);
  }
  if (lane % 4 != 0) return;
  to[row] = sums[0][0] + sums[1][0];
  to[row + 8] = sums[0][2] + sums[1][2];
}

// Eight rows in f32 times x, four lanes a row.
__device__ inline void multiply_eight(const unsigned char* w, int row_bytes, const unsigned char* x, float* to) {
  const int lane = static_cast<int>(threadIdx.x) % 32, row = lane / 4;
  float sum = 0;
#pragma unroll 4
  for (int v = lane % 4; v < row_bytes / 16; v += 4) {
    const float4 a = reinterpret_cast<const float4*>(w + row * row_bytes)[v], b = reinterpret_cast<const float4*>(x)[v];
    sum = fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
  }
  sum = sum_lanes<4>(sum);
  if (lane % 4 == 0) to[row] = sum;
}

// All of a head's sums by eight warps. The gates' rows are the longest: two warps have a half each of sixteen.
template <class T>
__device__ inline void multiply_head(const HeadProjections& p, const HeadMatrices& m, float (&sums)[kHeadValues + 1][kMostChannels]) {
  static_assert(kHeadThreads == 256 && kMostChannels == 64);
  const int warp = static_cast<int>(threadIdx.x) / 32, tile = warp % 4 * 16, upper = warp / 4;
  const int gates = p.of[kGates].row_bytes, vectors = gates / 16, half = (vectors + 7) / 8 * 4;
  multiply_sixteen<T>(m.w[kGates] + tile * gates, gates, m.x[kGates], upper * half, upper ? vectors : min(half, vectors),
                      &sums[kGates + upper][tile]);
  const int rates = p.of[kRates].row_bytes, shares = p.of[kShares].row_bytes;
  if (!upper) {
    multiply_sixteen<T>(m.w[kRates] + tile * rates, rates, m.x[kRates], 0, rates / 16, &sums[kRates][tile]);
  } else if (shares > 0) {
    multiply_sixteen<T>(m.w[kShares] + tile * shares, shares, m.x[kShares], 0, shares / 16, &sums[kShares][tile]);
  }
  const int decays = p.of[kDecays].row_bytes;
  multiply_eight(m.w[kDecays] + warp * 8 * decays, decays, m.x[kDecays], &sums[kDecays][warp * 8]);
}

#endif

// rwkv7_head_kernel for one sequence with its low-rank products. A thread ends one of their sums.
template <class T>
__global__ void __launch_bounds__(kHeadThreads, 2)
    projected_head_kernel(const __grid_constant__ Rwkv7InputsOp<T> in, const __grid_constant__ RecurrenceParams p,
                          const __grid_constant__ Rwkv7OutputsOp<T> out, const __grid_constant__ HeadProjections projections) {
#if LINEA_HOPPER_CODE
  extern __shared__ __align__(128) unsigned char memory[];
  __shared__ Stage<1, kMostChannels, kMostChannels, true> stage;
  __shared__ Parts<1, kMostChannels> parts;
  __shared__ float sums[kHeadValues + 1][kMostChannels], values[kHeadValues][kMostChannels];
  __shared__ uint64_t here;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kKeyLanes, column = thread / kKeyLanes * kThreadColumns;
  const int head = static_cast<int>(blockIdx.x), first = head * kMostChannels + 2 * thread;
  const HeadMatrices matrices(projections, memory);
  if (thread == 0) {
    init_barrier(&here, 1);
    publish_barriers();
    matrices.expect(projections, head, &here);
    expect_state(p, head);
  }
  const bool leads = thread < 32;
  HeadStep<T> step;
  if (leads) step.read_weights(in, out, first);
  const int which = thread / kMostChannels, channel = thread % kMostChannels, output = head * kMostChannels + channel;
  const HeadProjection& own = projections.of[which];
  const float bias = own.bias ? own.bias[output] : 0.0f;
  __syncthreads();
  follow_previous();
  matrices.read_inputs(projections);
  if (leads) step.read_wide(in, out, 0, first);
  Cells<kMostChannels> cells;
  for_whole_rows(p, cells, head, column, lane, [](const float* from, float(&to)[kThreadColumns]) { load(from, to); });
  __syncthreads();
  wait_phase(&here, 0);
  multiply_head<T>(projections, matrices, sums);
  __syncthreads();
  if (own.row_bytes > 0) {
    const float sum = which == kGates ? sums[kGates][channel] + sums[kGates + 1][channel] : sums[which][channel];
    const float value = evaluate(sum + bias, own.function);
    values[which][channel] = which == kDecays ? value : rounded<T>(value);
    which == kDecays ? void(static_cast<float*>(own.y)[output] = value) : void(static_cast<T*>(own.y)[output] = from_float<T>(value));
  }
  __syncthreads();
  if (leads) {
    load(&values[kDecays][2 * thread], step.decay);
    load(&values[kRates][2 * thread], step.rate);
    load(&values[kShares][2 * thread], step.share);
    load(&values[kGates][2 * thread], step.g);
    step.enter(in, 0, first, stage, /*keeps=*/false);
  }
  __syncthreads();
  advance_all<false>(cells, stage, 1, column, lane, parts);
  for_whole_rows(p, cells, head, column, lane, [](float* to, float(&from)[kThreadColumns]) { store(to, from); });
  __syncthreads();
  if (!leads) return;
  float y[2] = {parts.sum(0, 2 * thread), parts.sum(0, 2 * thread + 1)};
  step.leave(out, y);
  store(out.y + first, y);
#endif
}

// The products in the heads' order; false where they give something else, or not all.
template <class T> bool find_projections(const StepProducts& products, const StepRwkv7Heads<T>& heads, HeadProjections& found) {
  const void* wanted[kHeadValues] = {heads.in.decay, heads.in.rate, heads.in.share, heads.out.g};
  const bool plain = !products.has_norm && !products.has_mix && products.convolution.taps == 0;
  int all = 0;
  for (int i = 0; plain && i < products.count; ++i) {
    const Product& p = products.product[i].base;
    const auto which = static_cast<size_t>(std::find(wanted, wanted + kHeadValues, p.y) - wanted);
    if (which == kHeadValues || found.of[which].row_bytes > 0 || p.residual || p.gate || p.out != heads.in.groups * kMostChannels)
      return false;
    if ((p.type == DType::kF32) != (which == kDecays) || p.y_type != p.type || p.w_type != p.type) return false;
    found.of[which] = {p.w, p.x, p.y, p.bias, products.product[i].row_bytes, p.function};
    ++all;
  }
  return all == (heads.in.share ? kHeadValues : kHeadValues - 1) && (heads.in.share || found.of[kShares].row_bytes == 0);
}

// A head's matrices come to one processor: few of them would take longer than a launch of their own on all. Measured: 64 heads of 132
// processors 2.5 % of a step faster, 40 heads 3.5 % slower.
bool enough_heads(int heads, int device) { return 5 * heads >= 2 * processors_of(device); }

template <class T>
bool launch_projected(const StepProducts& products, const StepRwkv7Heads<T>& heads, int device,
                      const std::function<cudaStream_t()>& enter) {
  constexpr int64_t kMostShared = 200 << 10;
  constexpr auto kOp = "rwkv7_heads";
  HeadProjections projections = {};
  if (!find_projections(products, heads, projections) || !enough_heads(heads.in.groups, device)) return false;
  int64_t bytes = 0;
  for (const HeadProjection& p : projections.of) bytes += (kMostChannels + 1) * p.row_bytes;
  if (bytes > kMostShared) return false;
  constexpr auto kKernel = projected_head_kernel<T>;
  allow_shared(kKernel, kMostShared, kOp);
  launch_chained(kOp, kKernel, static_cast<unsigned>(heads.in.groups), kHeadThreads, static_cast<size_t>(bytes), enter(), heads.in,
                 heads.recurrence, heads.out, projections);
  return true;
}

}  // namespace

bool projected_heads(DType type, const StepInstruction& products, const StepInstruction& heads, int device,
                     const std::function<cudaStream_t()>& enter) {
  if (products.kind != StepKind::kProducts || heads.kind != StepKind::kRwkv7Heads) return false;
  const auto& all = products.as<StepProducts>();
  if (type == DType::kF16) return launch_projected(all, heads.as<StepRwkv7Heads<__half>>(), device, enter);
  return type == DType::kBF16 && launch_projected(all, heads.as<StepRwkv7Heads<__nv_bfloat16>>(), device, enter);
}

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
    pairs ? launch_chained(op, rwkv7_head_kernel<T>, blocks, kHeadThreads, 0, stream, before, p, after, 2 * processors_of(device_.index))
          : launch_chained(op, rwkv7_step_kernel<T>, blocks, kHeadThreads, 0, stream, before, p, after);
  });
}

}  // namespace linea
