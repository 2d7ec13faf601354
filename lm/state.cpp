#include "lm/state.h"

#include <cstring>
#include <utility>

namespace linea {
namespace {

void fill_with_zeros(const Tensor& t) {
  const std::vector<char> zeros(static_cast<size_t>(t.bytes()));
  allocator_of(t.device()).copy_from_host(t.raw(), zeros.data(), t.bytes());
}

std::vector<char> bytes_on_host(const Tensor& t) {
  std::vector<char> bytes(static_cast<size_t>(t.bytes()));
  allocator_of(t.device()).copy_to_host(bytes.data(), t.raw(), t.bytes());
  return bytes;
}

// From device to device through the host: a copied state is a branch of a conversation, not part of any inner loop.
void copy_values(const Tensor& from, const Tensor& to) {
  LINEA_ASSERT(from.bytes() == to.bytes() && to.is_contiguous());
  if (from.device() == kCpuDevice) return allocator_of(to.device()).copy_from_host(to.raw(), from.raw(), to.bytes());
  allocator_of(to.device()).copy_from_host(to.raw(), bytes_on_host(from).data(), to.bytes());
}

Tensor clone(const Tensor& t) {
  Tensor copy(t.shape(), t.dtype(), t.device());
  copy_values(t, copy);
  return copy;
}

Shape with_first(int64_t count, const Shape& one) {
  Shape shape = {count};
  for (int i = 0; i < one.rank(); ++i) shape.push_back(one[i]);
  return shape;
}

}  // namespace

State::State(int64_t layers, const std::vector<Shape>& parts, Device device) : layers_(static_cast<size_t>(layers)) {
  for (std::vector<Tensor>& layer : layers_) {
    for (const Shape& shape : parts) fill_with_zeros(layer.emplace_back(shape, DType::kF32, device));
  }
}

State State::repeated(const State& one, int64_t count) {
  State result;
  result.sequences_ = count;
  for (const std::vector<Tensor>& layer : one.layers_) {
    std::vector<Tensor>& parts = result.layers_.emplace_back();
    for (const Tensor& part : layer) parts.emplace_back(with_first(count, part.shape()), part.dtype(), part.device());
  }
  for (int64_t i = 0; i < count; ++i) result.set_sequence(i, one);
  return result;
}

State State::sequence(int64_t index) const {
  State view;
  for (const std::vector<Tensor>& layer : layers_) {
    std::vector<Tensor>& parts = view.layers_.emplace_back();
    for (const Tensor& part : layer) parts.push_back(part.select(0, index));
  }
  return view;
}

void State::set_sequence(int64_t index, const State& one) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    for (size_t j = 0; j < layers_[i].size(); ++j) copy_values(one.layers_[i][j], layers_[i][j].select(0, index));
  }
}

State::State(const State& other) : layers_(other.layers_), sequences_(other.sequences_) {
  for (std::vector<Tensor>& layer : layers_) {
    for (Tensor& part : layer) part = clone(part);
  }
}

State& State::operator=(const State& other) {
  State copy(other);
  std::swap(layers_, copy.layers_);
  sequences_ = copy.sequences_;
  return *this;
}

int64_t State::bytes() const {
  int64_t sum = 0;
  for (const std::vector<Tensor>& layer : layers_) {
    for (const Tensor& part : layer) sum += part.bytes();
  }
  return sum;
}

bool State::operator==(const State& other) const {
  if (layers_.size() != other.layers_.size()) return false;
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (layers_[i].size() != other.layers_[i].size()) return false;
    for (size_t j = 0; j < layers_[i].size(); ++j) {
      const Tensor &a = layers_[i][j], &b = other.layers_[i][j];
      if (a.shape() != b.shape() || bytes_on_host(a) != bytes_on_host(b)) return false;
    }
  }
  return true;
}

}  // namespace linea
