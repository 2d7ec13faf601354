// kernels/cuda/common.cuh: what the files of kernels share on the host's side: types, vector checks, launches.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <initializer_list>

#include "core/error.h"
#include "core/tensor.h"
#include "kernels/cuda/chain.cuh"
#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/vec.cuh"

namespace linea::cuda {

template <class T> struct TypeTag { using type = T; };

// Calls f(TypeTag<T>) for the type of activations.
template <class F> void with_type(DType type, const char* op, F&& f) {
  switch (type) {
    case DType::kF32: return f(TypeTag<float>{});
    case DType::kBF16: return f(TypeTag<__nv_bfloat16>{});
    case DType::kF16: return f(TypeTag<__half>{});
    default: throw Error(ErrorKind::kInternal, std::string(op) + ": no CUDA kernel for " + std::string(name_of(type)));
  }
}

template <class T> T* pointer(const Tensor& t) { return static_cast<T*>(t.raw()); }
inline const float* floats(const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; }
inline int64_t pitch_of(const Tensor& t) { return t.defined() ? t.row_pitch() : 0; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline bool is_aligned(const void* address, int64_t pitch_bytes) {
  return reinterpret_cast<uintptr_t>(address) % 16 == 0 && pitch_bytes % 16 == 0;
}
// Whether rows of `dim` channels of all these tensors (undefined ones aside) can be walked in vectors of kVector elements.
inline bool has_vectors(int64_t dim, std::initializer_list<const Tensor*> tensors) {
  if (dim % kVector != 0) return false;
  return std::all_of(tensors.begin(), tensors.end(), [](const Tensor* t) {
    return !t->defined() || is_aligned(t->raw(), t->has_row_pitch() ? t->row_pitch() * bytes_of(t->dtype()) : 0);
  });
}

template <int kWidth, class Op> __global__ void map_rows_kernel(const __grid_constant__ Op op, int64_t rows, int64_t vectors) {
  follow_previous();
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y; row < rows;
       row += static_cast<int64_t>(gridDim.x) * blockDim.y) {
    for (int64_t i = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x; i < vectors;
         i += static_cast<int64_t>(gridDim.y) * blockDim.x) {
      op.template apply<kWidth>(row, i * kWidth);
    }
  }
}

// Calls op.apply<width>(row, first channel) for every vector of every row, neighbouring threads on neighbouring channels.
template <class Op> void map_rows(const char* name, cudaStream_t stream, const Op& op, int64_t rows, int64_t dim, bool vectorised) {
  constexpr int kThreads = 256;
  if (rows == 0 || dim == 0) return;
  const int64_t vectors = vectorised ? dim / kVector : dim;
  unsigned across = 1;
  while (across < vectors && across < kThreads) across *= 2;
  const dim3 threads(across, kThreads / across);
  const dim3 blocks(static_cast<unsigned>(std::min<int64_t>(ceil_div(rows, threads.y), 1 << 30)),
                    static_cast<unsigned>(std::min<int64_t>(ceil_div(vectors, across), 65535)));
  if (vectorised) {
    launch_chained(name, map_rows_kernel<kVector, Op>, blocks, threads, 0, stream, op, rows, vectors);
  } else {
    launch_chained(name, map_rows_kernel<1, Op>, blocks, threads, 0, stream, op, rows, vectors);
  }
}

// Dynamic shared memory beyond 48 KiB has to be asked for, once for every kernel and device; asking again costs little.
template <class Kernel> void allow_shared(Kernel kernel, int64_t bytes, const char* op) {
  if (bytes <= 48 << 10) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)), op, "cudaFuncSetAttribute");
}

}  // namespace linea::cuda
