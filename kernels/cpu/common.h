// kernels/cpu/common.h: small helpers of the CPU backend's files.
#pragma once

#include <algorithm>

#include "core/error.h"
#include "core/tensor.h"
#include "core/threads.h"
#include "kernels/cpu/simd/kernels.h"
#include "kernels/ops.h"

namespace linea::cpu {

static_assert(static_cast<int>(Activation::kRelu) == static_cast<int>(Act::kRelu) &&
              static_cast<int>(Activation::kSilu) == static_cast<int>(Act::kSilu) &&
              static_cast<int>(Activation::kGeluTanh) == static_cast<int>(Act::kGeluTanh));
inline Act act_of(Activation activation) { return static_cast<Act>(activation); }

inline Element element_of(DType type) {
  switch (type) {
    case DType::kF32: return Element::kF32;
    case DType::kBF16: return Element::kBF16;
    case DType::kF16: return Element::kF16;
    default: throw Error(ErrorKind::kInternal, "no CPU kernel for " + std::string(name_of(type)));
  }
}
inline Element element_of(const Tensor& t) { return element_of(t.dtype()); }

inline int64_t bytes_of(Element type) { return type == Element::kF32 ? 4 : 2; }

inline const float* floats(const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; }

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Items per thread below which another thread costs more than it brings, for items of `elements` cheap elements.
inline int64_t grain_of(int64_t elements) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, elements)); }

// Advances a raw pointer by elements of a type.
inline const void* offset(const void* base, int64_t elements, Element type) {
  return base ? static_cast<const char*>(base) + elements * bytes_of(type) : nullptr;
}
inline void* offset(void* base, int64_t elements, Element type) { return static_cast<char*>(base) + elements * bytes_of(type); }

// Scratch for tasks that run at the same time: each body of a parallel_for takes its thread's buffer.
class ThreadBuffers {
 public:
  ThreadBuffers(Context& ctx, int64_t floats) : floats_(floats) {
    if (floats > 0) memory_ = ctx.allocate({thread_count(), floats}, DType::kF32);
  }
  float* take() const { return floats_ > 0 ? memory_.data<float>() + thread_index() * floats_ : nullptr; }

 private:
  int64_t floats_;
  Tensor memory_;
};

}  // namespace linea::cpu
