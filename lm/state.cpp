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

// Through the host: a copied state is a branch of a conversation, not part of any inner loop.
Tensor clone(const Tensor& t) {
  Tensor copy(t.shape(), t.dtype(), t.device());
  allocator_of(t.device()).copy_from_host(copy.raw(), bytes_on_host(t).data(), t.bytes());
  return copy;
}

}  // namespace

State::State(int64_t layers, const std::vector<Shape>& parts, Device device) : layers_(static_cast<size_t>(layers)) {
  for (std::vector<Tensor>& layer : layers_) {
    for (const Shape& shape : parts) fill_with_zeros(layer.emplace_back(shape, DType::kF32, device));
  }
}

State::State(const State& other) : layers_(other.layers_) {
  for (std::vector<Tensor>& layer : layers_) {
    for (Tensor& part : layer) part = clone(part);
  }
}

State& State::operator=(const State& other) {
  State copy(other);
  std::swap(layers_, copy.layers_);
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
