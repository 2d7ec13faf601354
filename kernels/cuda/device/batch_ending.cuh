// kernels/cuda/device/batch_ending.cuh: what ends a batch's products, four outputs of a row at a time.
//
// A block runs this once, so that it waits for instructions more than for anything else: there is a short loop of its own for each type and
// function, and what can be known before the sums are there is made ready before.
#pragma once

#include "kernels/cuda/device/products.cuh"
#include "kernels/cuda/device/vec.cuh"

namespace linea::cuda {

constexpr int kEndingWidth = 4, kMostShares = 8;

// A thread's part: four outputs of every `step`th row. The sums lie in shared memory, those of other blocks of the cluster too.
struct EndingRows {
  const float* shares[kMostShares];  // sums of the first row
  int share_count, sum_pitch;        // from row to row
  int row, rows, step;               // the first row, their end
  void* y;                           // of the first row
  const void* residual;
  int64_t y_pitch, residual_pitch;
  float bias[kEndingWidth];

  // Of the product's outputs from `output` on.
  __device__ void prepare(const Product& p, int first_row, int output) {
    row = first_row;
    y_pitch = p.y_pitch;
    residual_pitch = p.residual_pitch;
    const int width = p.y_type == DType::kF32 ? 4 : 2;
    y = static_cast<char*>(p.y) + (row * y_pitch + output) * width;
    residual = p.residual ? static_cast<const char*>(p.residual) + (row * residual_pitch + output) * width : nullptr;
#pragma unroll
    for (int i = 0; i < kEndingWidth; ++i) bias[i] = 0;
    if (p.bias) load(p.bias + output, bias);
  }
};

template <class Y, Function kFunction> __device__ __forceinline__ void finish_rows(EndingRows r) {
  auto* y = static_cast<Y*>(r.y);
  const auto* residual = static_cast<const Y*>(r.residual);
  int first = 0;  // of the row's sums
#pragma unroll 1
  for (; r.row < r.rows; r.row += r.step) {
    float sums[kEndingWidth] = {}, other[kEndingWidth] = {};
    if (residual) load(residual, other);
#pragma unroll
    for (int s = 0; s < kMostShares; ++s) {
      if (s >= r.share_count) break;
      const float4 part = *reinterpret_cast<const float4*>(r.shares[s] + first);
      sums[0] += part.x, sums[1] += part.y, sums[2] += part.z, sums[3] += part.w;
    }
#pragma unroll
    for (int i = 0; i < kEndingWidth; ++i) sums[i] = evaluate(sums[i] + r.bias[i], kFunction) + other[i];
    store(y, sums);
    y += r.step * r.y_pitch;
    if (residual) residual += r.step * r.residual_pitch;
    first += r.step * r.sum_pitch;
  }
}

template <class Y> __device__ inline void finish_rows_of(const EndingRows& rows, Function function) {
  switch (function) {
    case Function::kExp: return finish_rows<Y, Function::kExp>(rows);
    case Function::kTanh: return finish_rows<Y, Function::kTanh>(rows);
    case Function::kSigmoid: return finish_rows<Y, Function::kSigmoid>(rows);
    case Function::kSilu: return finish_rows<Y, Function::kSilu>(rows);
    case Function::kSoftplus: return finish_rows<Y, Function::kSoftplus>(rows);
    case Function::kReluSquared: return finish_rows<Y, Function::kReluSquared>(rows);
    default: return finish_rows<Y, Function::kIdentity>(rows);
  }
}

__device__ inline void finish_rows_of(const EndingRows& rows, const Product& p) {
  switch (p.y_type) {
    case DType::kBF16: return finish_rows_of<__nv_bfloat16>(rows, p.function);
    case DType::kF16: return finish_rows_of<__half>(rows, p.function);
    default: return finish_rows_of<float>(rows, p.function);
  }
}

// Whether y, bias and residual can be walked so.
inline bool has_ending_vectors(const Projection& p) {
  const auto fits = [](const Tensor& t) { return !t.defined() || is_aligned(t.raw(), t.row_pitch() * bytes_of(t.dtype())); };
  return p.y.dim(-1) % kEndingWidth == 0 && fits(p.y) && fits(p.residual) && is_aligned(p.bias.raw(), 0);
}

}  // namespace linea::cuda
