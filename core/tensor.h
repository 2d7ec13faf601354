// core/tensor.h: a typed, strided view of memory that shares ownership of its storage.
//
// Copying a Tensor copies the view, not the data. The storage may be heap memory, an arena or a mapped file (read-only by
// convention: model weights). Everything is token-major: the last dimension is channels.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "core/device.h"
#include "core/dtype.h"
#include "core/error.h"

namespace linea {

class Shape {
 public:
  static constexpr int kMaxRank = 6;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[static_cast<size_t>(i < 0 ? i + rank_ : i)]; }  // negative counts from the end
  int64_t& operator[](int i) { return dims_[static_cast<size_t>(i < 0 ? i + rank_ : i)]; }
  void push_back(int64_t dim);
  int64_t elements() const;  // 1 for rank 0
  bool operator==(const Shape&) const = default;
  std::string to_string() const;  // "[2, 1024, 2240]"

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

class Tensor {
 public:
  Tensor() = default;
  // New uninitialised storage of its own (poisoned with NaN bytes in debug builds).
  Tensor(Shape shape, DType dtype, Device device = kCpuDevice);
  // A contiguous view of memory that `owner` keeps alive.
  Tensor(void* data, Shape shape, DType dtype, Device device, std::shared_ptr<const void> owner);

  bool defined() const { return data_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int i) const { return shape_[i]; }
  int64_t stride(int i) const { return strides_[i]; }  // in elements
  int64_t elements() const { return shape_.elements(); }
  int64_t bytes() const { return bytes_for(dtype_, elements()); }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  void* raw() const { return data_; }
  const std::shared_ptr<const void>& owner() const { return owner_; }

  template <class T> T* data() const {
    LINEA_ASSERT(dtype_of<T>() == dtype_);
    return static_cast<T*>(data_);
  }

  bool is_contiguous() const;
  // Rows of channels: every dimension but the last, walked with one pitch. Asserts that the layout allows it.
  int64_t rows() const { return elements() / (rank() ? dim(-1) : 1); }
  int64_t row_pitch() const;   // elements between consecutive rows
  bool has_row_pitch() const;  // last stride 1 and the leading dimensions collapse

  Tensor reshape(Shape shape) const;  // same elements; contiguous or splitting/merging collapsible dims
  Tensor slice(int dimension, int64_t start, int64_t count) const;
  Tensor select(int dimension, int64_t index) const;  // drops the dimension

  Tensor to(Device device) const;  // copy to a device (contiguous source); itself when already there
  Tensor to(DType dtype) const;    // converted copy on the CPU (floats only); itself when already of that type
  std::string describe() const;    // "[2, 1024, 2240] bf16 cpu"

 private:
  void* data_ = nullptr;
  Shape shape_, strides_;
  DType dtype_ = DType::kF32;
  Device device_;
  std::shared_ptr<const void> owner_;
};

// Element conversion of contiguous host memory, any float type to any other (and bf16/f16 rounding to nearest even).
void convert_elements(const void* from, DType from_type, void* to, DType to_type, int64_t count);

}  // namespace linea
