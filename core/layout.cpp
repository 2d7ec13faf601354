#include "core/layout.h"

namespace linea {
namespace {

// Transposes `count` matrices [rows, columns].
Tensor transpose(const Tensor& t, int64_t count, int64_t rows, int64_t columns, Shape shape) {
  LINEA_ASSERT(t.is_contiguous() && t.device().is_cpu());
  Tensor result(shape, DType::kF32);
  const float* from = t.data<float>();
  float* to = result.data<float>();
  for (int64_t n = 0; n < count; ++n, from += rows * columns, to += rows * columns) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) to[c * rows + r] = from[r * columns + c];
    }
  }
  return result;
}

}  // namespace

Tensor to_token_major(const Tensor& t) {
  return transpose(t, t.dim(0), t.dim(1), t.dim(2) * t.dim(3), {t.dim(0), t.dim(2), t.dim(3), t.dim(1)});
}

Tensor to_channel_major(const Tensor& t) {
  return transpose(t, t.dim(0), t.dim(1) * t.dim(2), t.dim(3), {t.dim(0), t.dim(3), t.dim(1), t.dim(2)});
}

}  // namespace linea
