#include "kernels/devices.h"

#include <cuda_runtime_api.h>

namespace linea {

void append_cuda_devices(std::vector<DeviceInfo>& devices) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {  // no driver, or no device
    cudaGetLastError();
    return;
  }
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    size_t free = 0, total = 0;
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess || cudaSetDevice(i) != cudaSuccess ||
        cudaMemGetInfo(&free, &total) != cudaSuccess) {
      cudaGetLastError();  // a device that others hold exclusively, for example
      continue;
    }
    devices.push_back({{DeviceKind::kCuda, i}, properties.name, static_cast<int64_t>(free), static_cast<int64_t>(total)});
  }
}

int cuda_device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

}  // namespace linea
