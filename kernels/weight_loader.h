// kernels/weight_loader.h: a checkpoint's tensors as a model's members, in the form that the context's device and type want.
#pragma once

#include <string>

#include "core/checkpoint.h"
#include "kernels/ops.h"

namespace linea {

// Names are relative to a prefix ("transformer_blocks.3."), so that a block binds its own names. Shapes are checked by the checkpoint.
class WeightLoader {
 public:
  WeightLoader(Context& ctx, const Checkpoint& checkpoint, std::string prefix = {})
      : ctx_(ctx), checkpoint_(checkpoint), prefix_(std::move(prefix)) {}

  WeightLoader scope(const std::string& name) const { return {ctx_, checkpoint_, prefix_ + name + "."}; }
  bool contains(const std::string& name) const { return checkpoint_.contains(prefix_ + name); }

  Weight linear(const std::string& name, int64_t out, int64_t in) const;             // [out, in]
  Weight pointwise(const std::string& name, int64_t out, int64_t in) const;          // a 1×1 convolution [out, in, 1, 1] as a matrix
  Weight conv2d(const std::string& name, int64_t out, int64_t in, int64_t k) const;  // [out, in, k, k]
  Tensor depthwise(const std::string& name, int64_t channels, int64_t k) const;      // [C, 1, k, k] -> [k, k, C] f32
  Tensor vector(const std::string& name, Shape shape) const;                         // f32 on the device
  Tensor optional_vector(const std::string& name, Shape shape) const;                // undefined when absent
  Tensor table(const std::string& name, int64_t rows, int64_t columns) const;        // in the context's type (embeddings)

  Context& context() const { return ctx_; }
  const Checkpoint& checkpoint() const { return checkpoint_; }
  const std::string& prefix() const { return prefix_; }

 private:
  Tensor load(const std::string& name, Shape shape, DType dtype) const { return checkpoint_.load(prefix_ + name, shape, dtype); }

  Context& ctx_;
  const Checkpoint& checkpoint_;
  std::string prefix_;
};

}  // namespace linea
