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

  WeightLoader scope(const std::string& name) const {
    WeightLoader inner = *this;
    inner.prefix_ += name + ".";
    return inner;
  }
  // The same with matrices and tables of 16 bits left so for activations in f32, where the device multiplies them: half the memory, and
  // half the time for a few rows, which is how language models answer.
  WeightLoader as_stored() const {
    WeightLoader result = *this;
    result.keep_narrow_ = true;
    return result;
  }
  // The same with matrices that many products with many rows will read.
  WeightLoader for_many_rows() const {
    WeightLoader result = *this;
    result.many_rows_ = true;
    return result;
  }
  bool has_many_rows() const { return many_rows_; }
  bool contains(const std::string& name) const { return checkpoint_.contains(prefix_ + name); }

  // [out, in], in the context's type or another; a block-quantised matrix stays as it is where the device multiplies those.
  Weight linear(const std::string& name, int64_t out, int64_t in) const { return linear(name, out, in, ctx_.dtype); }
  Weight linear(const std::string& name, int64_t out, int64_t in, DType dtype) const;
  Weight pointwise(const std::string& name, int64_t out, int64_t in) const;          // a 1×1 convolution [out, in, 1, 1] as a matrix
  Weight conv2d(const std::string& name, int64_t out, int64_t in, int64_t k) const;  // [out, in, k, k]
  Tensor depthwise(const std::string& name, int64_t channels, int64_t k) const;      // [C, 1, k, k] -> [k, k, C] f32
  Tensor vector(const std::string& name, Shape shape) const;                         // f32 on the device
  Tensor optional_vector(const std::string& name, Shape shape) const;                // undefined when absent
  Tensor table(const std::string& name, int64_t rows, int64_t columns) const;        // embeddings, likewise

  // A matrix as `linear` gives it.
  Weight prepared(const Tensor& matrix) const { return many_rows_ ? prepare_packed_linear(ctx_, matrix) : prepare_linear(ctx_, matrix); }

  // The type that a matrix or table is loaded in where `dtype` is wanted.
  DType type_of(const std::string& name, DType dtype) const;

  Context& context() const { return ctx_; }
  const Checkpoint& checkpoint() const { return checkpoint_; }
  const std::string& prefix() const { return prefix_; }

 private:
  Tensor load(const std::string& name, Shape shape, DType dtype) const { return checkpoint_.load(prefix_ + name, shape, dtype); }

  Context& ctx_;
  const Checkpoint& checkpoint_;
  std::string prefix_;
  bool keep_narrow_ = false, many_rows_ = false;
};

}  // namespace linea
