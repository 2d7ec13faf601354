#include "kernels/cuda/check.h"

#include <string>

#include "core/error.h"
#include "kernels/cuda/cublaslt_library.h"

namespace linea::cuda {

void check(cudaError_t status, const char* op, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears what can be cleared, so that the next call reports its own failure
  const std::string what = std::string(op) + ": " + call + ": " + cudaGetErrorString(status);
  switch (status) {
    case cudaErrorMemoryAllocation:
      throw Error(ErrorKind::kMemory, what, "free memory of the device, or choose a smaller picture or --device cpu");
    case cudaErrorInsufficientDriver: throw Error(ErrorKind::kDevice, what, "update the NVIDIA driver, or choose --device cpu");
    case cudaErrorNoKernelImageForDevice: throw Error(ErrorKind::kDevice, what, "rebuild with CMAKE_CUDA_ARCHITECTURES set for this GPU");
    default: throw Error(ErrorKind::kDevice, what, "the device may be lost: see nvidia-smi and the system's log, or choose --device cpu");
  }
}

void check(cublasStatus_t status, const char* op, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const std::string what = std::string(op) + ": " + call + ": " + cublas_lt().status_string(status);
  if (status == CUBLAS_STATUS_ALLOC_FAILED) throw Error(ErrorKind::kMemory, what, "free memory of the device");
  throw Error(ErrorKind::kDevice, what, "the cuBLAS library and the NVIDIA driver may not fit together");
}

void check_launch(const char* op) { check(cudaGetLastError(), op, "kernel launch"); }

}  // namespace linea::cuda
