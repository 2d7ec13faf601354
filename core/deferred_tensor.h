// core/deferred_tensor.h: a tensor that is made when its turn comes to be written, so that converting a model takes the memory of one
// tensor.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace linea {

struct DeferredTensor {
  std::string name;
  Shape shape;
  DType dtype = DType::kF32;
  std::function<Tensor()> make;  // gives a contiguous CPU tensor of that shape and type
};

// Tensors that are there already.
inline std::vector<DeferredTensor> deferred(const std::vector<std::pair<std::string, Tensor>>& tensors) {
  std::vector<DeferredTensor> result;
  result.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) {
    LINEA_ASSERT(tensor.defined());
    result.push_back({name, tensor.shape(), tensor.dtype(), [tensor = tensor] { return tensor; }});
  }
  return result;
}

}  // namespace linea
