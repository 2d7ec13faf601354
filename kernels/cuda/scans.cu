// kernels/cuda/scans.cu: scans whose channels do not mix, and the windows that recurrent models keep: convolution and token shift.
//
// Maths    selective_scan: h ← exp(Δ A) h + Δ x B, y = Cᵀh + D x.   weighted_average: two sums over e^m with m the largest exponent so far.
// Shape    Mamba 2.8B: 5120 channels of 16 states; RWKV-4 14B: 5120 channels; Mamba-2 2.7B: windows of 4 tokens of 5376 channels.
// Tiles    scans: a few lanes share the states of a channel and walk through all tokens, states in registers; blocks are small, so that the
//          channels spread over the whole machine. Convolution: a thread takes 8 channels of a few tokens; the first of a column also
//          reads the window kept in the state, and it alone replaces it.
// Traffic  inputs and outputs once; taps beyond the first come from the cache.
// Roofline scans are bound by the latency of a token (exp, product, sum), windows by memory.
// Accuracy f32. A token's arithmetic does not depend on where a call began: equal bits for any split of a sequence.
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/step_program.h"
#include "kernels/recurrence_layout.h"

namespace linea {

namespace cuda {
namespace {

constexpr int kScanThreads = 32;
constexpr int kLanesPerChannel = 4, kChannelsPerBlock = kScanThreads / kLanesPerChannel;

template <class T> struct SelectiveScanParams {
  const T *x, *B, *c;
  T* y;
  const float *delta, *A, *D;
  float* state;
  int64_t x_pitch, delta_pitch, B_pitch, c_pitch, y_pitch, tokens;  // tokens of a sequence
  int states, dim;

  // Where a sequence's rows and states begin.
  __device__ SelectiveScanParams of(int64_t sequence) const {
    SelectiveScanParams p = *this;
    const int64_t row = sequence * tokens;
    p.x += row * x_pitch, p.delta += row * delta_pitch, p.B += row * B_pitch, p.c += row * c_pitch, p.y += row * y_pitch;
    p.state += sequence * states * dim;
    return p;
  }
};

// Lane l of a channel holds the states l, l + 4, ... Neighbouring threads are neighbouring channels.
template <int kStates, class T> __global__ void __launch_bounds__(kScanThreads) selective_scan_kernel(SelectiveScanParams<T> all) {
  follow_previous();
  const SelectiveScanParams<T> p = all.of(blockIdx.y);
  const int lane = static_cast<int>(threadIdx.x) / kChannelsPerBlock;
  const int channel = static_cast<int>(blockIdx.x) * kChannelsPerBlock + static_cast<int>(threadIdx.x) % kChannelsPerBlock;
  const bool valid = channel < p.dim;
  const int column = valid ? channel : 0;  // idle threads read what others read, and write nothing
  float h[kStates], A[kStates];
#pragma unroll
  for (int i = 0; i < kStates; ++i) {
    const int n = lane + i * kLanesPerChannel;
    h[i] = n < p.states ? p.state[static_cast<int64_t>(n) * p.dim + column] : 0.0f;
    A[i] = n < p.states ? p.A[static_cast<int64_t>(n) * p.dim + column] : 0.0f;
  }
  const float skip = p.D[column];
  constexpr int kAhead = kStates <= 4 ? 8 : 1;  // tokens loaded together, so that their latencies overlap
  for (int64_t first = 0; first < p.tokens; first += kAhead) {
    float steps[kAhead], inputs[kAhead], B[kAhead][kStates], c[kAhead][kStates];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int64_t t = min(first + a, p.tokens - 1);
      steps[a] = p.delta[t * p.delta_pitch + column];
      inputs[a] = to_float(p.x[t * p.x_pitch + column]);
#pragma unroll
      for (int i = 0; i < kStates; ++i) {
        const int n = min(lane + i * kLanesPerChannel, p.states - 1);  // the value of a state that does not exist is not used
        B[a][i] = to_float(p.B[t * p.B_pitch + n]);
        c[a][i] = to_float(p.c[t * p.c_pitch + n]);
      }
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      if (first + a >= p.tokens) break;
      const float written = steps[a] * inputs[a];
      float sum = 0;
#pragma unroll
      for (int i = 0; i < kStates; ++i) {
        if (lane + i * kLanesPerChannel >= p.states) break;
        h[i] = fmaf(expf(steps[a] * A[i]), h[i], written * B[a][i]);
        sum = fmaf(h[i], c[a][i], sum);
      }
#pragma unroll
      for (int offset = kScanThreads / 2; offset >= kChannelsPerBlock; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
      if (valid && lane == 0) p.y[(first + a) * p.y_pitch + column] = from_float<T>(fmaf(skip, inputs[a], sum));
    }
  }
#pragma unroll
  for (int i = 0; i < kStates; ++i) {
    const int n = lane + i * kLanesPerChannel;
    if (valid && n < p.states) p.state[static_cast<int64_t>(n) * p.dim + column] = h[i];
  }
}

template <class T> struct WeightedAverageParams {
  const T *k, *v;
  T* y;
  const float *log_decay, *u;
  float* state;
  int64_t k_pitch, v_pitch, y_pitch, tokens;  // tokens of a sequence
  int dim;
};

constexpr int kAhead = 8;  // as above

template <class T> __global__ void __launch_bounds__(kScanThreads) weighted_average_kernel(WeightedAverageParams<T> p) {
  follow_previous();
  const int channel = static_cast<int>(blockIdx.x) * kScanThreads + static_cast<int>(threadIdx.x);
  if (channel >= p.dim) return;
  const int64_t sequence = blockIdx.y, row = sequence * p.tokens;
  float *values = p.state + sequence * 3 * p.dim + channel, *weights = values + p.dim, *exponents = weights + p.dim;
  float a = *values, b = *weights, m = *exponents;
  const float decay = p.log_decay[channel], u = p.u[channel];
  for (int64_t first = 0; first < p.tokens; first += kAhead) {
    float keys[kAhead], inputs[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int64_t t = min(first + i, p.tokens - 1);
      keys[i] = to_float(p.k[(row + t) * p.k_pitch + channel]);
      inputs[i] = to_float(p.v[(row + t) * p.v_pitch + channel]);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (first + i >= p.tokens) break;
      const float k = keys[i], v = inputs[i];
      const float read = fmaxf(m, u + k), past = expf(m - read), own = expf(u + k - read);
      p.y[(row + first + i) * p.y_pitch + channel] = from_float<T>(fmaf(past, a, own * v) / fmaf(past, b, own));
      const float next = fmaxf(m + decay, k), kept = expf(m + decay - next), added = expf(k - next);
      a = fmaf(kept, a, added * v);
      b = fmaf(kept, b, added);
      m = next;
    }
  }
  *values = a;
  *weights = b;
  *exponents = m;
}

// A row of map_rows is a run of `chunk` tokens, at least as long as the window: only the first run sees the state.
template <class T> struct CausalConv {
  const T* x;
  T* y;
  const float *w, *bias;  // bias may be null
  float* states;
  int64_t x_pitch, y_pitch, tokens, dim, chunk, runs;  // tokens and runs of a sequence
  int taps;
  Activation activation;

  // The input of token t, from the state where t is negative.
  template <int kWidth> __device__ void input_at(const T* from, const float* state, int64_t t, int64_t i, float (&v)[kWidth]) const {
    if (t < 0) {
      load(state + (t + taps - 1) * dim + i, v);
    } else {
      load(from + t * x_pitch + i, v);
    }
  }

  template <int kWidth> __device__ void apply(int64_t index, int64_t i) const {
    const int64_t sequence = index / runs, run = index % runs;
    const T* from = x + sequence * tokens * x_pitch;
    T* to = y + sequence * tokens * y_pitch;
    float* state = states + sequence * (taps - 1) * dim;
    const int64_t begin = run * chunk, end = begin + chunk < tokens ? begin + chunk : tokens;
    float v[kWidth], weight[kWidth], sum[kWidth];
    for (int64_t t = begin; t < end; ++t) {
#pragma unroll
      for (int c = 0; c < kWidth; ++c) sum[c] = 0;
      if (bias) load(bias + i, sum);
      for (int j = 0; j < taps; ++j) {
        input_at(from, state, t - taps + 1 + j, i, v);
        load(w + j * dim + i, weight);
#pragma unroll
        for (int c = 0; c < kWidth; ++c) sum[c] = fmaf(weight[c], v[c], sum[c]);
      }
#pragma unroll
      for (int c = 0; c < kWidth; ++c) sum[c] = cuda::activate(sum[c], activation);
      store(to + t * y_pitch + i, sum);
    }
    if (run > 0) return;
    for (int j = 0; j < taps - 1; ++j) {  // in this order a row is read before it is replaced
      input_at(from, state, tokens - taps + 1 + j, i, v);
      store(state + j * dim + i, v);
    }
  }
};

// The thread of a sequence's first row is the only one that reads a channel's state, and replaces it.
template <class T> struct TokenShift {
  const T* x;
  T* y;
  float* states;
  int64_t x_pitch, y_pitch, tokens, dim;  // tokens of a sequence

  template <int kWidth> __device__ void apply(int64_t row, int64_t i) const {
    float v[kWidth];
    if (row % tokens > 0) {
      load(x + (row - 1) * x_pitch + i, v);
      store(y + row * y_pitch + i, v);
      return;
    }
    float* state = states + row / tokens * dim;
    load(state + i, v);
    store(y + row * y_pitch + i, v);
    load(x + (row + tokens - 1) * x_pitch + i, v);
    store(state + i, v);
  }
};

template <class T> void launch_selective_scan(const SelectiveScanParams<T>& p, int64_t sequences, cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>(ceil_div(p.dim, kChannelsPerBlock)), static_cast<unsigned>(sequences));
  if (p.states <= 4 * kLanesPerChannel) {
    launch_chained("selective_scan", selective_scan_kernel<4, T>, blocks, kScanThreads, 0, stream, p);
  } else if (p.states <= 16 * kLanesPerChannel) {
    launch_chained("selective_scan", selective_scan_kernel<16, T>, blocks, kScanThreads, 0, stream, p);
  } else if (p.states <= 64 * kLanesPerChannel) {
    launch_chained("selective_scan", selective_scan_kernel<64, T>, blocks, kScanThreads, 0, stream, p);
  } else {
    throw Error(ErrorKind::kDevice, "selective_scan of " + std::to_string(p.states) + " states a channel does not run on CUDA devices",
                "choose --device cpu");
  }
}

}  // namespace
}  // namespace cuda

using namespace cuda;

void CudaBackend::selective_scan(Context&, const Tensor& x, const SelectiveScanArgs& args, const Tensor& state, const Tensor& y) {
  const cudaStream_t stream = enter();
  if (x.elements() == 0) return;
  const int64_t sequences = sequences_of(state, 2);
  with_type(x.dtype(), "selective_scan", [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch_selective_scan<T>({.x = pointer<T>(x),
                              .B = pointer<T>(args.B),
                              .c = pointer<T>(args.c),
                              .y = pointer<T>(y),
                              .delta = floats(args.delta),
                              .A = floats(args.A),
                              .D = floats(args.D),
                              .state = state.data<float>(),
                              .x_pitch = x.row_pitch(),
                              .delta_pitch = args.delta.row_pitch(),
                              .B_pitch = args.B.row_pitch(),
                              .c_pitch = args.c.row_pitch(),
                              .y_pitch = y.row_pitch(),
                              .tokens = x.dim(0) / sequences,
                              .states = static_cast<int>(args.A.dim(0)),
                              .dim = static_cast<int>(x.dim(1))},
                             sequences, stream);
  });
}

void CudaBackend::weighted_average(Context&, const Tensor& k, const Tensor& v, const Tensor& log_decay, const Tensor& u,
                                   const Tensor& state, const Tensor& y) {
  const char* op = "weighted_average";
  const cudaStream_t stream = enter();
  if (k.elements() == 0) return;
  const int64_t sequences = sequences_of(state, 2);
  with_type(k.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const WeightedAverageParams<T> p = {.k = pointer<T>(k),
                                        .v = pointer<T>(v),
                                        .y = pointer<T>(y),
                                        .log_decay = floats(log_decay),
                                        .u = floats(u),
                                        .state = state.data<float>(),
                                        .k_pitch = k.row_pitch(),
                                        .v_pitch = v.row_pitch(),
                                        .y_pitch = y.row_pitch(),
                                        .tokens = k.dim(0) / sequences,
                                        .dim = static_cast<int>(k.dim(1))};
    const dim3 blocks(static_cast<unsigned>(ceil_div(p.dim, kScanThreads)), static_cast<unsigned>(sequences));
    launch_chained(op, weighted_average_kernel<T>, blocks, kScanThreads, 0, stream, p);
  });
}

void CudaBackend::causal_conv1d(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state, const Tensor& y,
                                Activation activation) {
  constexpr int64_t kRun = 8;
  const char* op = "causal_conv1d";
  if (StepRecorder* recorder = StepRecorder::of(device_.index)) {
    const auto plain = [=, this, &ctx] { causal_conv1d(ctx, x, w, bias, state, y, activation); };
    if (recorder->convolve(x, w, bias, state, y, activation, plain)) return;
  }
  const cudaStream_t stream = enter();
  const int64_t sequences = sequences_of(state, 2), tokens = x.dim(0) / sequences, chunk = std::max(kRun, w.dim(0) - 1);
  with_type(x.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const CausalConv<T> conv = {.x = pointer<T>(x),
                                .y = pointer<T>(y),
                                .w = floats(w),
                                .bias = floats(bias),
                                .states = pointer<float>(state),
                                .x_pitch = x.row_pitch(),
                                .y_pitch = y.row_pitch(),
                                .tokens = tokens,
                                .dim = x.dim(1),
                                .chunk = chunk,
                                .runs = ceil_div(tokens, chunk),
                                .taps = static_cast<int>(w.dim(0)),
                                .activation = activation};
    map_rows(op, stream, conv, sequences * conv.runs, conv.dim, has_vectors(conv.dim, {&x, &y, &w, &bias, &state}));
  });
}

void CudaBackend::token_shift(Context&, const Tensor& x, const Tensor& state, const Tensor& y) {
  const char* op = "token_shift";
  const cudaStream_t stream = enter();
  with_type(x.dtype(), op, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const TokenShift<T> shift = {
        pointer<T>(x), pointer<T>(y), state.data<float>(), x.row_pitch(), y.row_pitch(), x.dim(0) / sequences_of(state, 1), x.dim(1)};
    map_rows(op, stream, shift, x.dim(0), x.dim(1), has_vectors(x.dim(1), {&x, &y, &state}));
  });
}

}  // namespace linea
