#include "kernels/devices.h"

#include <unistd.h>

namespace linea {

#if defined(LINEA_CUDA)
std::optional<DeviceInfo> cuda_device_info(int index);  // kernels/cuda/devices.cpp
#else
int cuda_device_count() { return 0; }
static std::optional<DeviceInfo> cuda_device_info(int) { return std::nullopt; }
#endif

std::optional<DeviceInfo> device_info(Device device) {
  if (!device.is_cpu()) return cuda_device_info(device.index);
  const int64_t page = sysconf(_SC_PAGESIZE);
  return DeviceInfo{kCpuDevice, "CPU", page * sysconf(_SC_AVPHYS_PAGES), page * sysconf(_SC_PHYS_PAGES)};
}

std::vector<DeviceInfo> available_devices() {
  std::vector<DeviceInfo> devices = {*device_info(kCpuDevice)};
  for (int i = 0; i < cuda_device_count(); ++i) {
    if (const std::optional<DeviceInfo> info = cuda_device_info(i)) devices.push_back(*info);
  }
  return devices;
}

}  // namespace linea
