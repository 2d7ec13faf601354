#include <cuda_runtime_api.h>

#include <cstdio>

#include "core/error.h"
#include "kernels/cuda/cublaslt_library.h"
#include "kernels/diagnosis.h"

namespace linea {
namespace {

// 13020 → "13.2"
std::string version_text(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

Finding device_finding(int index) {
  const std::string subject = "cuda:" + std::to_string(index);
  cudaDeviceProp properties;
  size_t free = 0, total = 0;
  cudaError_t status = cudaGetDeviceProperties(&properties, index);
  if (status == cudaSuccess) status = cudaSetDevice(index);
  if (status == cudaSuccess) status = cudaMemGetInfo(&free, &total);
  if (status != cudaSuccess) {
    cudaGetLastError();
    return {subject, "unusable", cudaGetErrorString(status)};
  }
  char memory[64];
  std::snprintf(memory, sizeof memory, "%.1f of %.1f GiB free", static_cast<double>(free) / (1 << 30),
                static_cast<double>(total) / (1 << 30));
  return {subject, std::string(properties.name) + ", " + memory,
          "compute capability " + std::to_string(properties.major) + "." + std::to_string(properties.minor) + ", " +
              std::to_string(properties.multiProcessorCount) + " multiprocessors"};
}

Finding products_finding() {
  try {
    const size_t version = cuda::cublas_lt().version();
    return {"cuBLASLt", std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100),
            "matrix products on the GPU; all else there is Linea's own"};
  } catch (const Error& error) {
    return {"cuBLASLt", "missing", error.what()};
  }
}

}  // namespace

std::vector<Finding> diagnose_cuda() {
  int runtime = 0, driver = 0, count = 0;
  cudaRuntimeGetVersion(&runtime);
  cudaDriverGetVersion(&driver);
  std::vector<Finding> findings = {{"CUDA",
                                    "runtime " + version_text(runtime) + (driver ? ", driver for " + version_text(driver) : ", no driver"),
                                    driver ? "" : "install the NVIDIA driver to use a GPU"}};
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    cudaGetLastError();
    findings.push_back({"CUDA devices", "none", cudaGetErrorString(status)});
    return findings;
  }
  findings.push_back(products_finding());
  for (int i = 0; i < count; ++i) findings.push_back(device_finding(i));
  return findings;
}

}  // namespace linea
