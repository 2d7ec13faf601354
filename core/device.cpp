#include "core/device.h"

#include <sys/mman.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "core/error.h"
#include "core/memory_use.h"
#include "core/planning_memory.h"

namespace linea {
namespace {

constexpr int64_t kVector = 64;  // bytes: a cache line, and the widest vector
// Large pages where the system has them: a matrix then needs few entries of the tables of pages, which rows that lie far apart would push
// out. Smaller blocks would waste too much.
constexpr int64_t kLargePage = int64_t{2} << 20, kLargeBlock = int64_t{4} << 20;

// Null where there is no memory.
void* allocate_pages(int64_t bytes) {
  const int64_t alignment = bytes < kLargeBlock ? kVector : kLargePage;
  const auto padded = static_cast<size_t>(std::max<int64_t>((bytes + kVector - 1) / kVector, 1) * kVector);
  void* pointer = nullptr;
  if (::posix_memalign(&pointer, static_cast<size_t>(alignment), padded) != 0) return nullptr;
  if (alignment == kLargePage) {  // a hint: its failure changes nothing
    ::madvise(pointer, padded / static_cast<size_t>(kLargePage) * static_cast<size_t>(kLargePage), MADV_HUGEPAGE);
  }
  return pointer;
}

class CpuAllocator final : public Allocator {
 public:
  void* allocate(int64_t bytes) override {
    void* pointer = meter_.refuses() ? nullptr : allocate_pages(bytes);
    if (!pointer) throw Error(ErrorKind::kMemory, "out of memory: " + std::to_string(bytes >> 20) + " MiB on cpu");
    meter_.took(pointer, bytes);
    return pointer;
  }
  void release(void* pointer) noexcept override {
    meter_.gave_back(pointer);
    std::free(pointer);
  }
  void copy_from_host(void* to, const void* from, int64_t bytes) override { std::memcpy(to, from, static_cast<size_t>(bytes)); }
  void copy_to_host(void* to, const void* from, int64_t bytes) override { std::memcpy(to, from, static_cast<size_t>(bytes)); }

 private:
  MemoryMeter& meter_ = memory_meter(kCpuDevice);
};

struct Registry {
  std::mutex mutex;
  std::map<std::pair<DeviceKind, int>, Allocator*> allocators;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

}  // namespace

std::string Device::name() const { return is_cpu() ? "cpu" : "cuda:" + std::to_string(index); }

Device parse_device(const std::string& name) {
  if (name == "cpu") return kCpuDevice;
  if (name == "cuda") return {DeviceKind::kCuda, 0};
  if (name.rfind("cuda:", 0) == 0) {
    int index = -1;
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data() + 5, end, index);
    if (error == std::errc() && rest == end && index >= 0) return {DeviceKind::kCuda, index};
  }
  throw Error(ErrorKind::kUsage, "--device: unknown device '" + name + "'", "use cpu, cuda or cuda:N");
}

Allocator& allocator_of(Device device) {
  static CpuAllocator cpu;
  PlanningMemory* planning = PlanningMemory::active();
  if (planning && planning->device() == device) return planning->allocator();
  if (device.is_cpu()) return cpu;
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  const auto found = r.allocators.find({device.kind, device.index});
  if (found == r.allocators.end()) throw Error(ErrorKind::kDevice, "device " + device.name() + " is not available");
  return *found->second;
}

void register_allocator(Device device, Allocator& allocator) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  r.allocators[{device.kind, device.index}] = &allocator;
}

}  // namespace linea
