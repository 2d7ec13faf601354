// lm/state.h: what a recurrent language model remembers of a text. A value: copying it branches the conversation.
//
// Every layer has the same number of f32 tensors, whose meaning each model states. They live on the model's device. A state may be of
// several sequences that are read together: then every tensor has a leading dimension for them.
#pragma once

#include <vector>

#include "core/tensor.h"

namespace linea {

class State {
 public:
  State() = default;
  // Zeros: the state before the first token.
  State(int64_t layers, const std::vector<Shape>& parts, Device device);
  // `count` sequences that all stand where `one`, the state of a single sequence, stands.
  static State repeated(const State& one, int64_t count);
  State(const State& other);
  State& operator=(const State& other);
  State(State&&) noexcept = default;
  State& operator=(State&&) noexcept = default;

  int64_t layers() const { return static_cast<int64_t>(layers_.size()); }
  const Tensor& part(int64_t layer, int64_t index) const { return layers_[static_cast<size_t>(layer)][static_cast<size_t>(index)]; }
  const std::vector<Tensor>& layer(int64_t index) const { return layers_[static_cast<size_t>(index)]; }
  int64_t sequences() const { return sequences_; }
  // One of several sequences: a view that shares their memory.
  State sequence(int64_t index) const;
  void set_sequence(int64_t index, const State& one);
  int64_t bytes() const;
  bool operator==(const State& other) const;  // the same shapes and bits

 private:
  std::vector<std::vector<Tensor>> layers_;
  int64_t sequences_ = 1;
};

}  // namespace linea
