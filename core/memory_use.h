// core/memory_use.h: how much of a device's memory is taken through its allocator, now and at most.
//
// Counted is what an allocation really occupies there (occupied_bytes). Not counted: mapped files, which the system may drop, and what
// libraries and drivers take for themselves; the memory plan states that as a constant.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "core/device.h"

namespace linea {

struct MemoryUse {
  int64_t now = 0, peak = 0;  // bytes
};

MemoryUse memory_use(Device device);    // zeros for a device that nothing was allocated on
void reset_memory_peak(Device device);  // to what is taken now

// The size of an allocation with what the device's granularity adds: CUDA gives pages of 2 MiB from 1 MiB on.
int64_t occupied_bytes(DeviceKind kind, int64_t bytes);

// What an allocator counts with. Thread-safe.
class MemoryMeter {
 public:
  explicit MemoryMeter(DeviceKind kind) : kind_(kind) {}
  void took(const void* pointer, int64_t bytes);
  void gave_back(const void* pointer);  // null is fine
  MemoryUse use() const;
  void reset_peak();
  // What a plan allows in all (0 = no limit). Allocations of a plan are not refused; whoever would like some memory for a moment asks
  // first.
  void set_limit(int64_t bytes);
  bool has_room_for(int64_t bytes) const;
  // For tests of what a lack of memory does: the allocation after `count` others is refused, once. Allocators ask before each.
  void refuse_after(int64_t count);
  bool refuses();

 private:
  const DeviceKind kind_;
  mutable std::mutex mutex_;
  MemoryUse use_;
  int64_t limit_ = 0, until_refusal_ = -1;  // negative: never
  std::unordered_map<const void*, int64_t> sizes_;
};

MemoryMeter& memory_meter(Device device);  // the device's own; made when first asked for

}  // namespace linea
