// core/device.h: where a tensor lives.
#pragma once

#include <cstdint>
#include <string>

namespace linea {

enum class DeviceKind : uint8_t { kCpu, kCuda };

struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;

  bool operator==(const Device&) const = default;
  bool is_cpu() const { return kind == DeviceKind::kCpu; }
  std::string name() const;  // "cpu", "cuda:0"
};

inline constexpr Device kCpuDevice{};

Device parse_device(const std::string& name);  // "cpu", "cuda", "cuda:1"; throws kUsage

// Raw memory of a device. Each backend registers the allocator of its device kind; the CPU's is built in (64-byte aligned).
class Allocator {
 public:
  virtual ~Allocator() = default;
  virtual void* allocate(int64_t bytes) = 0;  // throws kMemory; never returns null for bytes > 0
  virtual void release(void* pointer) noexcept = 0;
  virtual void copy_from_host(void* to, const void* from, int64_t bytes) = 0;
  virtual void copy_to_host(void* to, const void* from, int64_t bytes) = 0;
};

Allocator& allocator_of(Device device);                        // throws kDevice when no backend registered the device
void register_allocator(Device device, Allocator& allocator);  // called once by a backend when it starts

}  // namespace linea
