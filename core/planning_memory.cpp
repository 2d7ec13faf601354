#include "core/planning_memory.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>

namespace linea {
namespace {

thread_local PlanningMemory* active_memory = nullptr;

class HostPages final : public Allocator {
 public:
  explicit HostPages(MemoryMeter& meter) : meter_(meter) {}
  void* allocate(int64_t bytes) override {
    constexpr int64_t kAlignment = 64;
    const int64_t padded = std::max<int64_t>((bytes + kAlignment - 1) / kAlignment, 1) * kAlignment;
    void* pointer = std::aligned_alloc(kAlignment, static_cast<size_t>(padded));
    if (!pointer) throw Error(ErrorKind::kMemory, "out of memory while planning: " + std::to_string(bytes >> 20) + " MiB on cpu");
    meter_.took(pointer, bytes);
    return pointer;
  }
  void release(void* pointer) noexcept override {
    meter_.gave_back(pointer);
    std::free(pointer);
  }
  void copy_from_host(void* to, const void* from, int64_t bytes) override { allocator_of(kCpuDevice).copy_from_host(to, from, bytes); }
  void copy_to_host(void* to, const void* from, int64_t bytes) override { allocator_of(kCpuDevice).copy_to_host(to, from, bytes); }

 private:
  MemoryMeter& meter_;
};

class CountedAddresses final : public Allocator {
 public:
  explicit CountedAddresses(MemoryMeter& meter) : meter_(meter) {}
  void* allocate(int64_t bytes) override {
    constexpr uintptr_t kAlignment = 512;  // as cudaMalloc's
    const uintptr_t size = (static_cast<uintptr_t>(std::max<int64_t>(bytes, 1)) + kAlignment - 1) / kAlignment * kAlignment;
    void* pointer = reinterpret_cast<void*>(next_.fetch_add(size));
    meter_.took(pointer, bytes);
    return pointer;
  }
  void release(void* pointer) noexcept override { meter_.gave_back(pointer); }
  void copy_from_host(void*, const void*, int64_t) override {}
  void copy_to_host(void*, const void*, int64_t) override {}

 private:
  MemoryMeter& meter_;
  std::atomic<uintptr_t> next_{uintptr_t{1} << 40};
};

// Zeros for everybody, pages of which are never made by reading.
const void* zero_pages(int64_t bytes) {
  constexpr int64_t kSize = int64_t{16} << 30;
  static void* const pages =
      ::mmap(nullptr, static_cast<size_t>(kSize), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);  // for the process's life
  return pages == MAP_FAILED || bytes > kSize ? nullptr : pages;
}

}  // namespace

PlanningMemory::PlanningMemory(Device device) : device_(device), meter_(device.kind) {
  if (device.is_cpu()) {
    allocator_ = std::make_unique<HostPages>(meter_);
  } else {
    allocator_ = std::make_unique<CountedAddresses>(meter_);
  }
}

PlanningMemory::~PlanningMemory() = default;

PlanningMemory::Scope::Scope(PlanningMemory& memory) : before_(active_memory) { active_memory = &memory; }
PlanningMemory::Scope::~Scope() { active_memory = before_; }

PlanningMemory* PlanningMemory::active() { return active_memory; }

Tensor PlanningMemory::placeholder(Shape shape, DType dtype, bool counts) {
  LINEA_ASSERT(active_memory);
  const int64_t bytes = bytes_for(dtype, shape.elements());
  const void* zeros = counts && active_memory->device().is_cpu() ? nullptr : zero_pages(bytes);
  // Readers of weights never write, so the pages may be anybody's.
  if (zeros) return Tensor(const_cast<void*>(zeros), shape, dtype, kCpuDevice, std::shared_ptr<const void>(zeros, [](const void*) {}));
  Allocator& allocator = allocator_of(kCpuDevice);
  void* data = allocator.allocate(bytes);
  return Tensor(data, shape, dtype, kCpuDevice,
                std::shared_ptr<const void>(data, [&allocator](const void* p) { allocator.release(const_cast<void*>(p)); }));
}

}  // namespace linea
