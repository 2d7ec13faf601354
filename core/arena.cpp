#include "core/arena.h"

#include <algorithm>
#include <cstring>

namespace linea {
namespace {

constexpr int64_t kAlignment = 256;  // covers vectors on the CPU and coalesced, TMA-able rows on a GPU

}  // namespace

Arena Arena::planning(Device device) { return Arena(device); }

Arena::Arena(Device device, int64_t capacity_bytes) : device_(device), capacity_(capacity_bytes) {
  Allocator& allocator = allocator_of(device);
  block_ =
      std::shared_ptr<void>(allocator.allocate(capacity_bytes + kAlignment), [&allocator](void* pointer) { allocator.release(pointer); });
}

Tensor Arena::allocate(Shape shape, DType dtype) {
  const int64_t bytes = (bytes_for(dtype, shape.elements()) + kAlignment - 1) / kAlignment * kAlignment;
  if (!planning_ && used_ + bytes > capacity_) {
    throw Error(ErrorKind::kInternal, "arena: " + shape.to_string() + " " + std::string(name_of(dtype)) + " needs " +
                                          std::to_string(bytes) + " bytes, " + std::to_string(capacity_ - used_) + " of " +
                                          std::to_string(capacity_) + " are left");
  }
  const uintptr_t base = planning_ ? 0 : reinterpret_cast<uintptr_t>(block_.get());
  const uintptr_t aligned = (base + kAlignment) / kAlignment * kAlignment;
  void* data = reinterpret_cast<void*>(aligned + static_cast<uintptr_t>(used_));
  used_ += bytes;
  peak_ = std::max(peak_, used_);
#ifndef NDEBUG
  if (!planning_ && device_.is_cpu()) std::memset(data, 0xff, static_cast<size_t>(bytes));  // NaN in every float type
#endif
  return Tensor(data, shape, dtype, device_, block_);
}

}  // namespace linea
