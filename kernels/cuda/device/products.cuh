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

__device__ inline float element_of(const void* row, DType type, int64_t i) {
  switch (type) {
    case DType::kBF16: return to_float(static_cast<const __nv_bfloat16*>(row)[i]);
    case DType::kF16: return to_float(static_cast<const __half*>(row)[i]);
    default: return static_cast<const float*>(row)[i];
  }
}

__device__ inline void store_element(void* row, DType type, int64_t i, float value) {
  switch (type) {
    case DType::kBF16: static_cast<__nv_bfloat16*>(row)[i] = from_float<__nv_bfloat16>(value); return;
    case DType::kF16: static_cast<__half*>(row)[i] = from_float<__half>(value); return;
    default: static_cast<float*>(row)[i] = value;
  }
}

// What ends a sum, read while the sum is still being made: what no kernel writes, perhaps before the wait for the kernel before, and the
// rest.
struct Ending {
  float scale = 1, bias = 0, gate = 1, residual = 0;

  __device__ void read_weights(const Product& p, int output) {
    if (p.w_scales) scale = p.w_scales[output];
    if (p.bias) bias = p.bias[output];
  }
  __device__ void read_rows(const Product& p, int64_t row, int output) {
    // Rows are few: their division fits 32 bits.
    if (p.gate) gate = p.gate[static_cast<uint32_t>(row) / static_cast<uint32_t>(p.rows_per_gate) * p.gate_pitch + output];
    if (p.residual) residual = element_of(p.residual, p.y_type, row * p.residual_pitch + output);
  }
  __device__ void read(const Product& p, int64_t row, int output) {
    read_weights(p, output);
    read_rows(p, row, output);
  }
  __device__ void store(const Product& p, int64_t row, int output, float sum) const {
    float value = fmaf(sum, scale, bias);
    if (p.activation != Activation::kNone) value = activate(value, p.activation);
    if (p.function != Function::kIdentity) value = evaluate(value, p.function);
    store_element(p.y, p.y_type, row * p.y_pitch + output, value * gate + residual);
  }
};

__device__ inline void finish(const Product& p, int64_t row, int output, float sum) {
  Ending ending;
  ending.read(p, row, output);
  ending.store(p, row, output, sum);
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
