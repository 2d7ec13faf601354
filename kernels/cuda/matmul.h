// kernels/cuda/matmul.h: matrix products through cuBLASLt.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <array>
#include <map>
#include <mutex>
#include <optional>

#include "core/dtype.h"

namespace linea::cuda {

// y = relu?( x Wᵀ + bias ) + residual, all of one type but the f32 bias; relu and residual exclude each other.
struct MatmulCall {
  const void *x, *w, *residual;  // residual may be null, and may be y
  void* y;
  const float* bias;  // may be null; f32 products only
  bool relu;
  int64_t rows, in, out;
  int64_t x_pitch, residual_pitch, y_pitch;
  int64_t member_rows;  // rows of one batch member
  DType dtype;
};

// Products accumulate in f32, without TF32. The algorithm for a shape is chosen once, from the rows of one batch member: the library then
// adds up a member's products in the same order however many members there are.
class Matmul {
 public:
  explicit Matmul(int index);  // of the calling thread's current device
  ~Matmul();
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;

  // Submits the product; false when the library has no algorithm for it (odd pitches of 16-bit types, for example).
  bool run(const MatmulCall& call, cudaStream_t stream);

 private:
  using Key = std::array<int64_t, 14>;
  struct Descriptors;

  std::optional<cublasLtMatmulAlgo_t> choose(const Descriptors& d, const MatmulCall& call);
  std::optional<cublasLtMatmulAlgo_t> find(const Descriptors& d, const MatmulCall& call) const;

  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;  // of the stream: calls in flight on it do not overlap
  std::mutex mutex_;
  std::map<Key, std::optional<cublasLtMatmulAlgo_t>> algorithms_;
};

}  // namespace linea::cuda
