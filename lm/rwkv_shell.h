// lm/rwkv_shell.h: what stands around the blocks of every RWKV: x = LN(emb[token]; ln0) before them, head LN(x; ln_out) after.
//
// The residual stream x is f32 in every type of model: its growth over the layers is what 16 bits bear least.
#pragma once

#include <span>

#include "lm/weights.h"

namespace linea {

struct LayerNorm {
  Tensor weight, bias;  // [C] f32

  static LayerNorm load(const WeightLoader& w, const std::string& name, int64_t channels);
  void operator()(Context& ctx, const Tensor& x, const Tensor& y) const;
};

class RwkvShell {
 public:
  static RwkvShell load(const WeightLoader& w);

  int64_t vocabulary_size() const { return embedding_.dim(0); }
  int64_t channels() const { return embedding_.dim(1); }
  bool in_blocks() const { return is_quantized(head_.data.dtype()); }                // whether matrices are block-quantised
  void embed(Context& ctx, std::span<const int32_t> tokens, const Tensor& x) const;  // x [T, C] f32
  void predict(Context& ctx, const Tensor& x, const Tensor& logits) const;           // logits [1, V] of the last row, or [T, V]

 private:
  Tensor embedding_;  // [V, C]
  LayerNorm ln0_, ln_out_;
  Weight head_;  // [V, C]
};

}  // namespace linea
