// kernels/cuda/device/step_norms.cuh: norms and mixes as instructions of a step: every block norms the whole row for itself.
#pragma once

#include "kernels/cuda/device/rwkv7.cuh"
#include "kernels/cuda/device/step_block.cuh"
#include "kernels/cuda/device/step_bodies.cuh"
#include "kernels/cuda/device/step_words.cuh"

namespace linea::cuda::step {

#if LINEA_HOPPER_CODE

// A row in the block's registers: a thread has every kStepThreads-th vector.
template <int kVectors = kStepNormVectors> struct Row {
  float v[kVectors][kVector] = {};

  template <class F> __device__ static void for_vectors(int dim, F&& f) {
#pragma unroll
    for (int n = 0; n < kVectors; ++n) {
      const int i = (n * kStepThreads + static_cast<int>(threadIdx.x)) * kVector;
      if (i < dim) f(n, i);
    }
  }
  template <class T> __device__ void read(const void* x, DType type, int dim) {
    for_vectors(dim, [&](int n, int i) {
      type == DType::kF32 ? load(static_cast<const float*>(x) + i, v[n]) : load(static_cast<const T*>(x) + i, v[n]);
    });
  }
  // The same from words as soon as they are there, or from memory where there are none.
  template <class T> __device__ void take(const uint32_t* words, const void* x, DType type, int dim) {
    if (!words) return read<T>(x, type, dim);
    type == DType::kF32 ? take_words<float>(words, dim) : take_words<T>(words, dim);
  }
  template <class T> __device__ void take_words(const uint32_t* words, int dim) {
    RowPart<kVector * sizeof(T)> parts[kVectors];
    take_parts(words, static_cast<int>(threadIdx.x), dim / kVector, parts);
    for_vectors(dim, [&](int n, int) { parts[n].template unpack<T>(v[n]); });
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

// The norm of a row: calls put(place, vector), which had better find by itself where that goes, since there is no register to spare.
template <class T, class Put> __device__ inline void normalize_row(const StepNorm& norm, Put&& put) {
  Row<> x, weights, offsets;
  weights.read<float>(norm.w, DType::kF32, norm.dim);  // before the row is there, since weights have pushed them out of the caches
  x.take<T>(norm.words, norm.x, norm.x_type, norm.dim);
  if (norm.bias) offsets.read<float>(norm.bias, DType::kF32, norm.dim);  // and not before, or registers would not do
  const float factor = x.normalize(norm.dim, norm.centre, norm.eps).y;
  Row<>::for_vectors(norm.dim, [&](int n, int i) {
#pragma unroll
    for (int j = 0; j < kVector; ++j) x.v[n][j] = fmaf(x.v[n][j] * factor, weights.v[n][j], offsets.v[n][j]);
    put(i, x.v[n]);
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
    if (norm.words) norm.words += first * bytes_of_type<T>(norm.x_type) / 2;
    norm.x = norm.x_type == DType::kF32 ? static_cast<const void*>(static_cast<const float*>(norm.x) + first)
                                        : static_cast<const void*>(static_cast<const T*>(norm.x) + first);
    normalize_row<T>(norm, [&](int i, const float(&v)[kVector]) { store(static_cast<T*>(norm.y) + first + i, v); });
    sync_workers();
  }
}

__device__ __noinline__ inline void run_settle(const StepInstruction& instruction) {
  const auto& all = instruction.as<StepSettle>();
  meet(instruction);
  for (int row = static_cast<int>(blockIdx.x); row < all.rows; row += static_cast<int>(gridDim.x)) {
    const float* from = all.from + all.place[row];
    float* to = all.to[row];
    Row<1>::for_vectors(all.size[row], [&](int, int i) {
      float v[kVector];
      load(from + i, v);
      store(to + i, v);
    });
  }
}

// A block mixes 32 channels, a warp for each mix, and norms the whole row for itself.
template <class T> __device__ __noinline__ void run_mix(const StepInstruction& instruction) {
  const auto& mix = instruction.as<StepMix>();
  const int n = own_warp(), first = static_cast<int>(blockIdx.x) * 32, c = first + own_lane();
  const bool mixes = n < mix.mixes && c < mix.dim, replaces = n == kStepWarps - 1 && c < mix.dim;
  float share = 0, w = 0, bias = 0, previous = 0;
  if (mixes) share = mix.m[n][c];
  if (mixes || replaces) {
    w = mix.w[c];
    bias = mix.bias[c];
    previous = mix.state[c];
  }
  meet(instruction);
  if (first >= mix.dim) return;
  auto* own = reinterpret_cast<float*>(own_shared().inputs);  // of x, the block's channels
  Row<> row;
  row.take<T>(mix.words, mix.x, mix.x_type, mix.dim);
  Row<>::for_vectors(mix.dim, [&](int v, int i) {
    if (i / 32 == static_cast<int>(blockIdx.x)) store(own + i - first, row.v[v]);
  });
  const float2 moments = row.normalize(mix.dim, true, mix.eps);
  const float h = fmaf((own[own_lane()] - moments.x) * moments.y, w, bias);
  const float mixed = fmaf(previous - h, share, h);
  if (mixes && mix.y[n]) static_cast<T*>(mix.y[n])[c] = from_float<T>(mixed);
  if (mixes && mix.y_words[n]) give<T>(mix.y_words[n], mixed, c);
  if (replaces) mix.state[c] = h;
}

#endif

}  // namespace linea::cuda::step
