// lm/mamba_shell.h: what stands around the mixers of Mamba and Mamba-2: the embedding before, head RMS(x; norm_f) after.
//
// Names are the authors' (backbone.embedding) or transformers' (backbone.embeddings). A missing lm_head is the embedding's matrix. The
// residual stream x is f32 in every type of model, as in the references.
#pragma once

#include <span>

#include "core/json.h"
#include "lm/weights.h"

namespace linea {

class MambaShell {
 public:
  static std::string prefix_of(const Checkpoint& checkpoint);  // "backbone."; throws kModel when there is no embedding
  static MambaShell load(Context& ctx, const Checkpoint& checkpoint, float eps);

  int64_t vocabulary_size() const { return embedding_.dim(0); }
  int64_t channels() const { return embedding_.dim(1); }
  bool in_blocks() const { return is_quantized(head_.data.dtype()); }                // whether matrices are block-quantised
  void embed(Context& ctx, std::span<const int32_t> tokens, const Tensor& x) const;  // x [T, D] f32
  void predict(Context& ctx, const Tensor& x, const Tensor& logits) const;           // logits [1, V] of the last row, or [T, V]

 private:
  float eps_ = 0;
  Tensor embedding_, norm_;  // [V, D], [D]
  Weight head_;
};

// Throw kModel for configurations that are not supported.
void require_flag(const Config& json, const std::string& key, bool expected);  // a missing key is as expected
void require_no_time_step_limit(const Config& json, const std::string& key);   // [0, ∞] in any of the spellings in use
void require_plain_layers(const Config& authors);                              // no MLP or attention layers between the mixers

}  // namespace linea
