// kernels/devices.h: what this machine can compute on. The same in builds with and without CUDA.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/device.h"

namespace linea {

struct DeviceInfo {
  Device device;
  std::string name;                         // "NVIDIA H100 80GB HBM3"
  int64_t free_bytes = 0, total_bytes = 0;  // of its memory, now
};

// The CPU, then the CUDA devices that this build and this machine's driver can use. Each CUDA device gets a context, which takes the driver
// a tenth of a second and memory of the device: where one device is meant, device_info is to be asked.
std::vector<DeviceInfo> available_devices();
std::optional<DeviceInfo> device_info(Device device);  // nothing where it is not there or cannot be used
int cuda_device_count();
inline bool cuda_available() { return cuda_device_count() > 0; }
// What "auto" means: the first CUDA device where there is one, else the CPU.
inline Device best_device() { return cuda_available() ? Device{DeviceKind::kCuda, 0} : kCpuDevice; }

}  // namespace linea
