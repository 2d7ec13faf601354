// tests/support/compare.h: how far two tensors are apart.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace linea::test {

// ‖a - b‖ / ‖b‖ in double; infinity when shapes differ or either holds a NaN. Any float types, any strides, CPU.
double relative_l2(const Tensor& a, const Tensor& b);
double max_abs_difference(const Tensor& a, const Tensor& b);
bool same_bits(const Tensor& a, const Tensor& b);

// Reproducible normal values, rounded to `dtype`.
Tensor random_tensor(Shape shape, uint64_t seed, DType dtype = DType::kF32, float scale = 1.0f);
// A copy in double, contiguous: the currency of the references.
Tensor to_double(const Tensor& t);

}  // namespace linea::test
