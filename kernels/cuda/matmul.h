// kernels/cuda/matmul.h: matrix products through cuBLASLt.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "kernels/cuda/algorithm_cache.h"
#include "kernels/ops.h"

namespace linea::cuda {

// y = act( x Wᵀ + bias ) + residual, all of one type but for FP8 products and those of 16 bits into f32; an activation and a residual
// exclude each other.
struct MatmulCall {
  const void *x, *w, *residual;  // residual may be null, and may be y
  void* y;
  const void* bias;       // may be null; of y's type
  Activation activation;  // none, ReLU or GELU
  int64_t rows, in, out;
  int64_t x_pitch, residual_pitch, y_pitch;
  int64_t member_rows;  // rows of one batch member; 0 = the rows are not a batch's
  DType dtype;
  const float *w_scales = nullptr, *x_scales = nullptr;  // of each row: then w and x are e4m3, and the rest of `dtype`
  bool f32_output = false;                               // y, residual and bias are f32 whatever x and w are

  DType x_type() const { return is_fp8() ? DType::kF8E4M3 : dtype; }
  DType y_type() const { return f32_output ? DType::kF32 : dtype; }

  bool is_fp8() const { return w_scales != nullptr; }
};

// Products accumulate in f32, without TF32. The algorithm for a shape is chosen once, by trying the library's proposals on the first call's
// data (a small product takes the first), and kept on the disk. Members of a batch get the same bits however many they are: only algorithms
// that do not split sums are tried, and only those whose results equal, bit by bit, those of the library's first proposal for one member
// are taken.
class Matmul {
 public:
  explicit Matmul(int index);  // of the calling thread's current device
  ~Matmul();
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;

  // Submits the product; false when the library has no algorithm for it (odd pitches of 16-bit types, for example). The first call of a
  // shape waits for the device.
  bool run(const MatmulCall& call, cudaStream_t stream);

  void keep_choices();  // on the disk, those made since the last time

 private:
  using Key = AlgorithmCache::Key;
  using Algorithm = AlgorithmCache::Algorithm;
  struct Descriptors;
  class Trial;

  static Key key_of(const MatmulCall& call);
  std::optional<Algorithm> choose(const Descriptors& d, const MatmulCall& call, cudaStream_t stream);
  bool is_usable(const Descriptors& d, const Algorithm& algorithm) const;
  std::vector<Algorithm> propose(const Descriptors& d, const MatmulCall& call, int count) const;
  Algorithm expected(const std::vector<Algorithm>& proposals, const MatmulCall& call) const;
  // Nothing where trying is impossible: while a graph is captured, or without the memory for it.
  std::optional<Algorithm> fastest(const Descriptors& d, const std::vector<Algorithm>& proposals, const Algorithm& expected,
                                   const MatmulCall& call, cudaStream_t stream);
  cublasStatus_t submit(const Descriptors& d, const MatmulCall& call, const Algorithm& algorithm, cudaStream_t stream) const;

  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;  // of the stream: calls in flight on it do not overlap
  std::mutex mutex_;           // of what follows
  std::map<Key, std::optional<Algorithm>> algorithms_;
  AlgorithmCache cache_;
};

}  // namespace linea::cuda
