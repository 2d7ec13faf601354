// lm/state.h: what a recurrent language model remembers of a text. A value: copying it branches the conversation.
//
// Every layer has the same number of f32 tensors, whose meaning each model states. They live on the model's device. A state may be of
// several sequences that are read together: then every tensor has a leading dimension for them.
// Copies share their values until one of them is written, so a copy costs nothing: whoever writes calls own() first. Several threads may
// hold copies, each its own.
#pragma once

#include <functional>
#include <memory>
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
  // A state of the same shapes, its values still to be written.
  State unfilled() const;

  int64_t layers() const { return values_ ? static_cast<int64_t>(values_->layers.size()) : 0; }
  const std::vector<Tensor>& layer(int64_t index) const { return values_->layers[static_cast<size_t>(index)]; }
  const Tensor& part(int64_t layer_index, int64_t index) const { return layer(layer_index)[static_cast<size_t>(index)]; }
  // Before the parts are written: gives this state values of its own, on its device, where copies share them or they lie in a foreign
  // block. Views stay views.
  void own();

  // How all parts lie in one block of memory: its size, and every part with the byte where it begins there.
  int64_t block_bytes() const;
  void visit_block(const std::function<void(int64_t offset, const Tensor& part)>& visit) const;
  // A state of the shapes and the device of `like` whose values lie in such a block on the host, which nobody writes.
  static State in_block(const State& like, void* block, const std::shared_ptr<const void>& owner);

  int64_t sequences() const { return sequences_; }
  // One of several sequences: a view that shares their memory, whoever writes; and a state of its own.
  State sequence(int64_t index) const;
  State sequence_alone(int64_t index) const;
  void set_sequence(int64_t index, const State& one);
  int64_t bytes() const;
  bool operator==(const State& other) const;  // the same shapes and bits

 private:
  struct Values {
    Tensor block;  // all parts, one after the other; undefined for a view
    std::vector<std::vector<Tensor>> layers;
    bool foreign = false;  // never written; own() makes a copy on `home`
    Device home{};
  };
  using Shapes = std::vector<std::vector<Shape>>;
  static std::shared_ptr<const Values> allocated(const Shapes& layers, Device device, bool more_will_follow);
  static std::shared_ptr<Values> in(const Tensor& block, const Shapes& layers);
  static Shapes shapes_of(const Values& values);
  static std::shared_ptr<const Values> unfilled_like(const Values& values);
  static std::shared_ptr<const Values> copied(const Values& values);

  std::shared_ptr<const Values> values_;
  int64_t sequences_ = 1;
};

}  // namespace linea
