// kernels/cuda/check.h: failures of CUDA and cuBLAS as linea::Error.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

namespace linea::cuda {

// Throws kMemory when memory ran out and kDevice for anything else; names the op, the call and what CUDA says.
void check(cudaError_t status, const char* op, const char* call);
void check(cublasStatus_t status, const char* op, const char* call);
// Of the kernel launched last on this thread.
void check_launch(const char* op);

}  // namespace linea::cuda
