#include "kernels/devices.h"

#include <cuda_runtime_api.h>

#include "kernels/cuda/cublaslt_library.h"

namespace linea {

std::optional<DeviceInfo> cuda_device_info(int index) {
  cudaDeviceProp properties;
  size_t free = 0, total = 0;
  if (index < 0 || index >= cuda_device_count() || cudaGetDeviceProperties(&properties, index) != cudaSuccess ||
      cudaSetDevice(index) != cudaSuccess || cudaMemGetInfo(&free, &total) != cudaSuccess) {
    cudaGetLastError();  // a device that others hold exclusively, for example
    return std::nullopt;
  }
  return DeviceInfo{{DeviceKind::kCuda, index}, properties.name, static_cast<int64_t>(free), static_cast<int64_t>(total)};
}

int cuda_device_count() {
  int driver = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return 0;
  cuda::open_cublas_lt();  // while the driver looks at the devices, which takes longer
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

}  // namespace linea
