// kernels/cuda/device/products.cuh: what ends a product of a few rows: bias, activation or function, gate, residual, one rounding.
#pragma once

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/functions.cuh"

namespace linea::cuda {

constexpr int kMostProducts = 8;  // of a launch

// One product. x and w are of one type, or w is of blocks or e4m3; y and the residual of another, perhaps.
struct Product {
  const void *x, *w, *residual;  // residual may be null
  void* y;
  const float *bias, *gate, *w_scales;  // each may be null; w_scales: of the rows of W
  int64_t x_pitch, residual_pitch, y_pitch, gate_pitch, rows_per_gate;
  int vectors, out, splits;  // vectors (or pieces of 32) of a row of W; warps that share a sum
  int first_block;
  DType type, w_type, y_type;
  Activation activation;
  Function function;
};

struct Products {
  Product product[kMostProducts];
  int count;
  int64_t rows;
};

// The product that a block works on.
__device__ inline const Product& product_of_block(const Products& all) {
  int index = all.count - 1;
  while (static_cast<int>(blockIdx.x) < all.product[index].first_block) --index;
  return all.product[index];
}

template <class T> __device__ inline void store_result(const Product& p, int64_t row, int output, float value) {
  if (p.residual) value += to_float(static_cast<const T*>(p.residual)[row * p.residual_pitch + output]);
  static_cast<T*>(p.y)[row * p.y_pitch + output] = from_float<T>(value);
}

__device__ inline void finish(const Product& p, int64_t row, int output, float sum) {
  if (p.w_scales) sum *= p.w_scales[output];
  if (p.bias) sum += p.bias[output];
  sum = evaluate(activate(sum, p.activation), p.function);
  if (p.gate) sum *= p.gate[row / p.rows_per_gate * p.gate_pitch + output];
  switch (p.y_type) {
    case DType::kBF16: return store_result<__nv_bfloat16>(p, row, output, sum);
    case DType::kF16: return store_result<__half>(p, row, output, sum);
    default: return store_result<float>(p, row, output, sum);
  }
}

// x [rows, in], w [out, in], y [rows, out] without what depends on the form of w: vectors, splits, first_block.
inline Product product_base(const Tensor& x, const Tensor& w, const Tensor& y, const Tensor& bias, const Tensor& residual) {
  return {.x = x.raw(),
          .w = w.raw(),
          .residual = residual.raw(),
          .y = y.raw(),
          .bias = floats(bias),
          .gate = nullptr,
          .w_scales = nullptr,
          .x_pitch = x.row_pitch(),
          .residual_pitch = pitch_of(residual),
          .y_pitch = y.row_pitch(),
          .gate_pitch = 0,
          .rows_per_gate = 1,
          .vectors = 0,
          .out = static_cast<int>(y.dim(-1)),
          .splits = 1,
          .first_block = 0,
          .type = x.dtype(),
          .w_type = w.dtype(),
          .y_type = y.dtype(),
          .activation = Activation::kNone,
          .function = Function::kIdentity};
}

// The endings of `linear`.
inline void set_ending(Product& p, const LinearArgs& args, int64_t rows) {
  p.activation = args.activation;
  if (!args.gate.defined()) return;
  p.gate = floats(args.gate);
  p.gate_pitch = args.gate.row_pitch();
  p.rows_per_gate = std::max<int64_t>(rows / args.gate.dim(0), 1);
}

}  // namespace linea::cuda
