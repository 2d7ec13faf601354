// kernels/cuda/rows.h: the elementwise kernel that ends a matrix product.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/ops.h"

namespace linea::cuda {

// y = residual + gate ⊙ act(x + bias); y may be x or the residual. x may have another type than y.
void finish_rows(const char* op, cudaStream_t stream, const Tensor& x, const Tensor& y, const LinearArgs& args);

}  // namespace linea::cuda
