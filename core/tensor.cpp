#include "core/tensor.h"

#include <cstring>

#include "core/planning_memory.h"

namespace linea {
namespace {

Shape contiguous_strides(const Shape& shape) {
  Shape strides = shape;
  int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

}  // namespace

Shape::Shape(std::initializer_list<int64_t> dims) {
  for (const int64_t dim : dims) push_back(dim);
}

void Shape::push_back(int64_t dim) {
  LINEA_ASSERT(rank_ < kMaxRank && dim >= 0);
  dims_[static_cast<size_t>(rank_++)] = dim;
}

int64_t Shape::elements() const {
  int64_t product = 1;
  for (int i = 0; i < rank_; ++i) product *= dims_[static_cast<size_t>(i)];
  return product;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string((*this)[i]);
  return text + "]";
}

Tensor::Tensor(Shape shape, DType dtype, Device device)
    : shape_(shape), strides_(contiguous_strides(shape)), dtype_(dtype), device_(device) {
  Allocator& allocator = allocator_of(device);
  data_ = allocator.allocate(bytes());
  owner_ = std::shared_ptr<const void>(data_, [&allocator](const void* p) { allocator.release(const_cast<void*>(p)); });
#ifndef NDEBUG
  const bool is_read = device.is_cpu() && !PlanningMemory::active();  // what is only planned takes no pages
  if (is_read) std::memset(data_, 0xff, static_cast<size_t>(bytes()));
#endif
}

Tensor::Tensor(void* data, Shape shape, DType dtype, Device device, std::shared_ptr<const void> owner)
    : data_(data), shape_(shape), strides_(contiguous_strides(shape)), dtype_(dtype), device_(device), owner_(std::move(owner)) {}

bool Tensor::is_contiguous() const {
  int64_t step = 1;
  for (int i = rank() - 1; i >= 0; --i) {
    if (shape_[i] != 1 && strides_[i] != step) return false;
    step *= shape_[i];
  }
  return true;
}

bool Tensor::has_row_pitch() const {
  if (rank() == 0 || (shape_[-1] != 1 && strides_[-1] != 1)) return false;
  int64_t expected = -1;
  for (int i = rank() - 2; i >= 0; --i) {
    if (shape_[i] == 1) continue;
    if (expected >= 0 && strides_[i] != expected) return false;
    expected = strides_[i] * shape_[i];
  }
  return true;
}

int64_t Tensor::row_pitch() const {
  LINEA_ASSERT(has_row_pitch());
  for (int i = rank() - 2; i >= 0; --i) {
    if (shape_[i] != 1) return strides_[i];
  }
  return shape_[-1];
}

Tensor Tensor::reshape(Shape shape) const {
  LINEA_ASSERT(shape.elements() == elements());
  Tensor result = *this;
  result.shape_ = shape;
  if (is_contiguous()) {
    result.strides_ = contiguous_strides(shape);
    return result;
  }
  // Match groups of source and target dimensions with equal products; inside a group the source must be collapsible.
  result.strides_ = shape;
  int source = rank() - 1;
  int target = shape.rank() - 1;
  while (target >= 0) {
    int64_t target_product = shape[target], source_product = source >= 0 ? shape_[source] : 1;
    int64_t step = source >= 0 ? strides_[source] : 1;
    int group_end = target;
    while (target_product != source_product) {
      if (target_product < source_product) {
        target_product *= shape[--target];
      } else {
        LINEA_ASSERT(source > 0 && strides_[source - 1] == strides_[source] * shape_[source]);
        source_product *= shape_[--source];
      }
    }
    for (int i = group_end; i >= target; --i) {
      result.strides_[i] = step;
      step *= shape[i];
    }
    --target;
    --source;
  }
  return result;
}

Tensor Tensor::slice(int dimension, int64_t start, int64_t count) const {
  const int d = dimension < 0 ? dimension + rank() : dimension;
  LINEA_ASSERT(d >= 0 && d < rank() && start >= 0 && count >= 0 && start + count <= shape_[d]);
  LINEA_ASSERT(d != rank() - 1 || count % block_elements(dtype_) == 0);  // bytes_for checks the start
  Tensor result = *this;
  result.shape_[d] = count;
  result.data_ = static_cast<char*>(data_) + bytes_for(dtype_, start * strides_[d]);
  return result;
}

Tensor Tensor::select(int dimension, int64_t index) const {
  const int d = dimension < 0 ? dimension + rank() : dimension;
  Tensor narrowed = slice(d, index, 1);
  Shape shape, strides;
  for (int i = 0; i < rank(); ++i) {
    if (i == d) continue;
    shape.push_back(shape_[i]);
    strides.push_back(strides_[i]);
  }
  narrowed.shape_ = shape;
  narrowed.strides_ = strides;
  return narrowed;
}

Tensor Tensor::to(Device device) const {
  if (device == device_) return *this;
  LINEA_ASSERT(is_contiguous());
  Tensor result(shape_, dtype_, device);
  if (device_.is_cpu()) {
    allocator_of(device).copy_from_host(result.data_, data_, bytes());
  } else if (device.is_cpu()) {
    allocator_of(device_).copy_to_host(result.data_, data_, bytes());
  } else {
    return to(kCpuDevice).to(device);
  }
  return result;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  LINEA_ASSERT(device_.is_cpu() && is_contiguous());
  Tensor result(shape_, dtype);
  convert_elements(data_, dtype_, result.data_, dtype, elements());
  return result;
}

std::string Tensor::describe() const {
  return defined() ? shape_.to_string() + " " + std::string(name_of(dtype_)) + " " + device_.name() : "undefined";
}

namespace {

template <class To, class From> To convert(From value) {
  if constexpr (std::is_same_v<To, double> || std::is_same_v<To, float>) {
    if constexpr (std::is_same_v<From, double> || std::is_same_v<From, float>) {
      return static_cast<To>(value);
    } else {
      return static_cast<To>(static_cast<float>(value));
    }
  } else if constexpr (std::is_same_v<From, double>) {
    return To(static_cast<float>(value));
  } else {
    return To(static_cast<float>(value));
  }
}

template <class From, class To> void convert_loop(const void* from, void* to, int64_t count) {
  const From* source = static_cast<const From*>(from);
  To* target = static_cast<To*>(to);
  for (int64_t i = 0; i < count; ++i) target[i] = convert<To, From>(source[i]);
}

template <class From> void convert_from(const void* from, void* to, DType to_type, int64_t count) {
  switch (to_type) {
    case DType::kF64: return convert_loop<From, double>(from, to, count);
    case DType::kF32: return convert_loop<From, float>(from, to, count);
    case DType::kF16: return convert_loop<From, Float16>(from, to, count);
    case DType::kBF16: return convert_loop<From, BFloat16>(from, to, count);
    default: throw Error(ErrorKind::kInternal, "cannot convert to " + std::string(name_of(to_type)));
  }
}

}  // namespace

void convert_elements(const void* from, DType from_type, void* to, DType to_type, int64_t count) {
  if (from_type == to_type) {
    std::memcpy(to, from, static_cast<size_t>(bytes_for(from_type, count)));
    return;
  }
  switch (from_type) {
    case DType::kF64: return convert_from<double>(from, to, to_type, count);
    case DType::kF32: return convert_from<float>(from, to, to_type, count);
    case DType::kF16: return convert_from<Float16>(from, to, to_type, count);
    case DType::kBF16: return convert_from<BFloat16>(from, to, to_type, count);
    default: throw Error(ErrorKind::kInternal, "cannot convert from " + std::string(name_of(from_type)));
  }
}

}  // namespace linea
