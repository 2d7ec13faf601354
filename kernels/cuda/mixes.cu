// kernels/cuda/mixes.cu: the inputs of an RWKV layer: a norm, the token before, and a mix of both for every projection.
//
// Maths    h = LN(x);   y_i = h_t + (h_{t-1} - h_t) ⊙ m_i
// Shape    RWKV-7 7.2B: rows of 4096, six mixes in f16; one row a decode step, thousands a prefill.
// Tiles    a block takes a row and norms the one before again rather than wait for another block. The block of row 0 alone reads the
//          state, and replaces it by the norm of the last row. A step's only row of a sequence is several blocks', each of which norms
//          all of it and has a thread for every channel of its own part.
// Traffic  x twice, from memory and from the second-level cache; every mix once.
// Roofline bound by memory for prefill: 4096 rows take 270 MB, 90 µs at 2.98 TB/s; by its latency, about 4 µs, for one row.
// Accuracy f32 between load and store; sums in one fixed order. A row's bits depend on itself and the row before alone.
#include "kernels/cuda/groups.cuh"
#include "kernels/cuda/step_program.h"
#include "kernels/recurrence_layout.h"

namespace linea {

namespace cuda {
namespace {

constexpr int kMostMixes = 8;

template <class X, class T> struct MixParams {
  const X* x;
  const float *w, *bias;
  float* state;
  const float* m[kMostMixes];
  T* y[kMostMixes];
  int64_t y_pitch[kMostMixes];
  int64_t x_pitch, tokens;  // tokens of a sequence; sequences follow each other, and so do their states
  int dim, mixes;
  float eps;
};

struct Moments {
  float mean, factor;
};

template <int kWidth, class X> __device__ inline Moments moments_of(const X* x, int dim, float eps, float* shared) {
  float v[kWidth], sum = 0, squares = 0;
  for_own_channels<kWidth, kGroupThreads>(dim, [&](int i) {
    load(x + i, v);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum += v[j];
  });
  const float mean = sum_group<kGroupThreads>(sum, shared) / static_cast<float>(dim);
  for_own_channels<kWidth, kGroupThreads>(dim, [&](int i) {
    load(x + i, v);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) squares = fmaf(v[j] - mean, v[j] - mean, squares);
  });
  return {mean, 1.0f / sqrtf(sum_group<kGroupThreads>(squares, shared) / static_cast<float>(dim) + eps)};
}

// kWidth channels of LN(x).
template <int kWidth, class X>
__device__ inline void normalized(const X* x, Moments moments, const float (&w)[kWidth], const float (&bias)[kWidth], float (&h)[kWidth]) {
  load(x, h);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) h[j] = fmaf((h[j] - moments.mean) * moments.factor, w[j], bias[j]);
}

template <int kWidth, class X, class T>
__global__ void __launch_bounds__(kGroupThreads) mix_kernel(const __grid_constant__ MixParams<X, T> p) {
  __shared__ float shared[kGroupThreads / 32];
  const int64_t row = blockIdx.x, token = row % p.tokens, sequence = row / p.tokens;
  const X *x = p.x + row * p.x_pitch, *last_x = x + (p.tokens - 1) * p.x_pitch;  // of this sequence, where token is 0
  float* state = p.state + sequence * p.dim;
  follow_previous();
  const Moments own = moments_of<kWidth>(x, p.dim, p.eps, shared);
  Moments other = own;  // of the row before, or of the last row for the block that replaces the state
  if (token > 0) {
    other = moments_of<kWidth>(x - p.x_pitch, p.dim, p.eps, shared);
  } else if (p.tokens > 1) {
    other = moments_of<kWidth>(last_x, p.dim, p.eps, shared);
  }
  for_own_channels<kWidth, kGroupThreads>(p.dim, [&](int i) {
    float w[kWidth], bias[kWidth], h[kWidth], previous[kWidth], m[kWidth];
    load(p.w + i, w);
    load(p.bias + i, bias);
    normalized(x + i, own, w, bias, h);
    if (token > 0) {
      normalized(x - p.x_pitch + i, other, w, bias, previous);
    } else {
      load(state + i, previous);
      float last[kWidth];
      normalized(last_x + i, other, w, bias, last);
      store(state + i, last);
    }
    for (int n = 0; n < p.mixes; ++n) {
      float y[kWidth];
      load(p.m[n] + i, m);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) y[j] = fmaf(previous[j] - h[j], m[j], h[j]);
      store(p.y[n] + row * p.y_pitch[n] + i, y);
    }
  });
}

// For rows of up to 4096 channels: a thread has one vector of the row, of the other row and of every share, all read at once.
constexpr int kRowThreads = 512, kRowMixes = 6;

struct Pair {
  float own, other;
};
__device__ inline Pair operator+(Pair a, Pair b) { return {a.own + b.own, a.other + b.other}; }
__device__ inline float sum_of_warp(float v) { return sum_lanes(v); }
__device__ inline Pair sum_of_warp(Pair v) { return {sum_lanes(v.own), sum_lanes(v.other)}; }

// The sums over a block, the same for all threads, in the order of a butterfly; `shared` has a place for every warp that a block may have
// and is used by one call alone.
template <class V> __device__ inline V sum_block(V v, V (&shared)[kRowThreads / 32]) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  v = sum_of_warp(v);
  if (lane == 0) shared[warp] = v;
  __syncthreads();
  v = lane < static_cast<int>(blockDim.x) / 32 ? shared[lane] : V{};
  return sum_of_warp(v);
}

template <class X, class T> __global__ void __launch_bounds__(kRowThreads) mix_row_kernel(const __grid_constant__ MixParams<X, T> p) {
  __shared__ Pair sums[kRowThreads / 32], squares[kRowThreads / 32];
  const int64_t row = blockIdx.x, token = row % p.tokens, other_row = token > 0 ? row - 1 : row + p.tokens - 1;
  float* kept = p.state + row / p.tokens * p.dim;
  const int i = static_cast<int>(threadIdx.x) * kVector;
  const bool valid = i < p.dim;
  float own[kVector] = {}, other[kVector] = {}, w[kVector], bias[kVector], m[kRowMixes][kVector], state[kVector];
  if (valid) {
    load(p.w + i, w);
    load(p.bias + i, bias);
#pragma unroll
    for (int n = 0; n < kRowMixes; ++n) {
      if (n < p.mixes) load(p.m[n] + i, m[n]);
    }
  }
  follow_previous();
  if (valid) {
    load(p.x + row * p.x_pitch + i, own);
    load(p.x + other_row * p.x_pitch + i, other);
    if (token == 0) load(kept + i, state);
  }
  Pair sum = {0, 0}, square = {0, 0};
#pragma unroll
  for (int j = 0; j < kVector; ++j) sum = {sum.own + own[j], sum.other + other[j]};
  sum = sum_block(sum, sums);
  const float count = static_cast<float>(p.dim), own_mean = sum.own / count, other_mean = sum.other / count;
#pragma unroll
  for (int j = 0; j < kVector; ++j) {
    own[j] = valid ? own[j] - own_mean : 0.0f;
    other[j] = valid ? other[j] - other_mean : 0.0f;
    square = {fmaf(own[j], own[j], square.own), fmaf(other[j], other[j], square.other)};
  }
  square = sum_block(square, squares);
  if (!valid) return;
  const float own_factor = 1.0f / sqrtf(square.own / count + p.eps), other_factor = 1.0f / sqrtf(square.other / count + p.eps);
#pragma unroll
  for (int j = 0; j < kVector; ++j) {
    own[j] = fmaf(own[j] * own_factor, w[j], bias[j]);
    other[j] = fmaf(other[j] * other_factor, w[j], bias[j]);
  }
  if (token == 0) {
    store(kept + i, other);
#pragma unroll
    for (int j = 0; j < kVector; ++j) other[j] = state[j];
  }
#pragma unroll
  for (int n = 0; n < kRowMixes; ++n) {
    if (n >= p.mixes) break;
#pragma unroll
    for (int j = 0; j < kVector; ++j) m[n][j] = fmaf(other[j] - own[j], m[n][j], own[j]);
    store(p.y[n] + row * p.y_pitch[n] + i, m[n]);
  }
}

// Keeps the compiler from computing an address where it is used, after the wait for the kernel before, instead of here.
template <class T> __device__ inline void compute_now(T*& address) { asm volatile("" : "+l"(address)); }

// One token of each sequence: blockIdx.y is its row, blockIdx.x the part of its channels. The sums are those of mix_row_kernel, to the bit.
template <class X, class T> __global__ void __launch_bounds__(kRowThreads, 2) mix_step_kernel(const __grid_constant__ MixParams<X, T> p) {
  __shared__ float sums[kRowThreads / 32], squares[kRowThreads / 32];
  const int64_t row = blockIdx.y;
  const int i = static_cast<int>(threadIdx.x) * kVector, c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const bool valid = i < p.dim, exists = c < p.dim;
  const X* x = p.x + row * p.x_pitch;
  float* kept = p.state + row * p.dim + c;
  float m[kRowMixes], w = 0, bias = 0;
  T* to[kRowMixes];
  if (exists) {
    w = p.w[c];
    bias = p.bias[c];
#pragma unroll
    for (int n = 0; n < kRowMixes; ++n) {
      if (n < p.mixes) m[n] = p.m[n][c];
    }
  }
#pragma unroll
  for (int n = 0; n < kRowMixes; ++n) {
    to[n] = p.y[n] + row * p.y_pitch[n] + c;
    compute_now(to[n]);
  }
  compute_now(kept);
  follow_previous();
  float v[kVector] = {}, h = 0, previous = 0;
  if (valid) load(x + i, v);
  if (exists) {
    h = to_float(x[c]);
    previous = *kept;
  }
  float sum = 0, square = 0;
#pragma unroll
  for (int j = 0; j < kVector; ++j) sum += v[j];
  const float count = static_cast<float>(p.dim), mean = sum_block(sum, sums) / count;
#pragma unroll
  for (int j = 0; j < kVector; ++j) {
    v[j] = valid ? v[j] - mean : 0.0f;
    square = fmaf(v[j], v[j], square);
  }
  const float factor = 1.0f / sqrtf(sum_block(square, squares) / count + p.eps);
  if (!exists) return;
  h = fmaf((h - mean) * factor, w, bias);
  *kept = h;
#pragma unroll
  for (int n = 0; n < kRowMixes; ++n) {
    if (n < p.mixes) *to[n] = from_float<T>(fmaf(previous - h, m[n], h));
  }
}

template <class X, class T>
void launch_mixes(cudaStream_t stream, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state,
                  std::span<const Mix> mixes) {
  const char* op = "mix_with_previous";
  MixParams<X, T> p = {.x = pointer<X>(x),
                       .w = floats(w),
                       .bias = floats(bias),
                       .state = state.data<float>(),
                       .m = {},
                       .y = {},
                       .y_pitch = {},
                       .x_pitch = x.row_pitch(),
                       .tokens = x.dim(0) / sequences_of(state, 1),
                       .dim = static_cast<int>(x.dim(1)),
                       .mixes = static_cast<int>(mixes.size()),
                       .eps = 1e-5f};
  bool vectorised = has_vectors(p.dim, {&x, &w, &bias, &state});
  for (size_t i = 0; i < mixes.size(); ++i) {
    p.m[i] = floats(mixes[i].m);
    p.y[i] = pointer<T>(mixes[i].y);
    p.y_pitch[i] = mixes[i].y.row_pitch();
    vectorised = vectorised && has_vectors(p.dim, {&mixes[i].m, &mixes[i].y});
  }
  const auto blocks = static_cast<unsigned>(x.dim(0));
  constexpr unsigned kFewRows = 16;  // beyond, a block a row fills half the machine
  if (vectorised && p.tokens == 1 && blocks <= kFewRows && p.dim <= kRowThreads * kVector && p.mixes <= kRowMixes) {
    const auto threads = static_cast<unsigned>(ceil_div(p.dim, 32 * kVector) * 32), parts = static_cast<unsigned>(ceil_div(p.dim, threads));
    launch_chained(op, mix_step_kernel<X, T>, dim3(parts, blocks), threads, 0, stream, p);
  } else if (vectorised && p.dim <= kRowThreads * kVector && p.mixes <= kRowMixes) {
    const auto threads = static_cast<unsigned>(ceil_div(p.dim, 32 * kVector) * 32);
    launch_chained(op, mix_row_kernel<X, T>, blocks, threads, 0, stream, p);
  } else if (vectorised) {
    launch_chained(op, mix_kernel<kVector, X, T>, blocks, kGroupThreads, 0, stream, p);
  } else {
    launch_chained(op, mix_kernel<1, X, T>, blocks, kGroupThreads, 0, stream, p);
  }
}

}  // namespace
}  // namespace cuda

using namespace cuda;

void CudaBackend::mix_with_previous(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state,
                                    std::span<const Mix> mixes) {
  constexpr auto kOp = "mix_with_previous";
  if (mixes.size() > kMostMixes) return Backend::mix_with_previous(ctx, x, w, bias, state, mixes);
  if (ctx.planning()) return;
  if (StepRecorder* recorder = StepRecorder::of(device_.index)) {
    const std::vector<Mix> kept(mixes.begin(), mixes.end());
    if (recorder->mix(x, w, bias, state, mixes, [=, this, &ctx] { mix_with_previous(ctx, x, w, bias, state, kept); })) return;
  }
  const cudaStream_t stream = enter();
  with_type(mixes[0].y.dtype(), kOp, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (x.dtype() == DType::kF32) {
      launch_mixes<float, T>(stream, x, w, bias, state, mixes);
    } else {
      launch_mixes<T, T>(stream, x, w, bias, state, mixes);
    }
  });
}

}  // namespace linea
