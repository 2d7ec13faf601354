// kernels/cuda/linear_extras.h: what the CUDA backend keeps beside a matrix.
#pragma once

#include <mutex>

#include "core/tensor.h"

namespace linea::cuda {

// The bias that the matrix was last used with, in the type that the library wants, and the scales of FP8 rows.
struct LinearExtras {
  std::mutex mutex;
  Tensor source, bias;
  Tensor scales;          // [out] f32
  bool changing = false;  // contents of matrix, scales and bias come and go where they lie: a kept bias would be another layer's
};

}  // namespace linea::cuda
