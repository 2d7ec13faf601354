#include "core/memory_use.h"

#include <algorithm>
#include <map>
#include <memory>

namespace linea {

int64_t occupied_bytes(DeviceKind kind, int64_t bytes) {
  if (kind == DeviceKind::kCpu) return bytes;
  constexpr int64_t kSmallUnit = 512, kLarge = int64_t{1} << 20, kPage = int64_t{2} << 20;
  const int64_t unit = bytes >= kLarge ? kPage : kSmallUnit;
  return (std::max<int64_t>(bytes, 1) + unit - 1) / unit * unit;
}

void MemoryMeter::took(const void* pointer, int64_t bytes) {
  const int64_t occupied = occupied_bytes(kind_, bytes);
  const std::lock_guard lock(mutex_);
  sizes_[pointer] = occupied;
  use_.now += occupied;
  use_.peak = std::max(use_.peak, use_.now);
}

void MemoryMeter::gave_back(const void* pointer) {
  const std::lock_guard lock(mutex_);
  const auto found = sizes_.find(pointer);
  if (found == sizes_.end()) return;
  use_.now -= found->second;
  sizes_.erase(found);
}

MemoryUse MemoryMeter::use() const {
  const std::lock_guard lock(mutex_);
  return use_;
}

void MemoryMeter::reset_peak() {
  const std::lock_guard lock(mutex_);
  use_.peak = use_.now;
}

void MemoryMeter::set_limit(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  limit_ = bytes;
}

bool MemoryMeter::has_room_for(int64_t bytes) const {
  const std::lock_guard lock(mutex_);
  return limit_ <= 0 || use_.now + occupied_bytes(kind_, bytes) <= limit_;
}

void MemoryMeter::refuse_after(int64_t count) {
  const std::lock_guard lock(mutex_);
  until_refusal_ = count;
}

bool MemoryMeter::refuses() {
  const std::lock_guard lock(mutex_);
  return until_refusal_ >= 0 && until_refusal_-- == 0;
}

// Never destroyed: tensors of other static objects give their memory back while the program ends.
MemoryMeter& memory_meter(Device device) {
  static std::mutex mutex;
  static auto& meters = *new std::map<std::pair<DeviceKind, int>, std::unique_ptr<MemoryMeter>>;
  const std::lock_guard lock(mutex);
  std::unique_ptr<MemoryMeter>& meter = meters[{device.kind, device.index}];
  if (!meter) meter = std::make_unique<MemoryMeter>(device.kind);
  return *meter;
}

MemoryUse memory_use(Device device) { return memory_meter(device).use(); }
void reset_memory_peak(Device device) { memory_meter(device).reset_peak(); }

}  // namespace linea
