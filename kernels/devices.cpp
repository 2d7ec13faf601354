#include "kernels/devices.h"

#include <unistd.h>

namespace linea {

#if defined(LINEA_CUDA)
void append_cuda_devices(std::vector<DeviceInfo>& devices);  // kernels/cuda/devices.cpp
#else
int cuda_device_count() { return 0; }
#endif

std::vector<DeviceInfo> available_devices() {
  const int64_t page = sysconf(_SC_PAGESIZE);
  std::vector<DeviceInfo> devices = {{kCpuDevice, "CPU", page * sysconf(_SC_AVPHYS_PAGES), page * sysconf(_SC_PHYS_PAGES)}};
#if defined(LINEA_CUDA)
  append_cuda_devices(devices);
#endif
  return devices;
}

}  // namespace linea
