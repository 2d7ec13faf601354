// textenc/gemma2.h: Gemma 2 (arXiv 2408.00118) as a text encoder: the decoder's last hidden state, no language-model head.
//
// Reference: Gemma2Model of transformers with eager attention; golden tests in tests/textenc. Weights are read-only after load and may be
// shared by threads, each with its own Context.
// Surprises: norms multiply by (1 + w); each branch is normed on both sides; the embedding is scaled by √hidden, rounded to the model's
// type.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/checkpoint.h"
#include "textenc/gemma2_config.h"

namespace linea {

struct Gemma2Layer {
  Tensor input_norm, post_attention_norm, pre_feedforward_norm, post_feedforward_norm;  // [D] f32
  Weight q, k, v, out;                                                                  // [H·d, D], [Hk·d, D] twice, [D, H·d]
  Weight gate, up, down;                                                                // [I, D] twice, [D, I]
  int64_t window = 0;                                                                   // of its attention; 0 = all
};

class Gemma2 {
 public:
  // Names with or without the prefix "model."; a language-model head is ignored. The checkpoint's mapping is used where types match.
  // Throws kModel for tensors that are missing, misshapen or unknown.
  // `layer_by_layer`: the device holds one layer at a time, which every forward pass loads anew, and none of the embedding table.
  static Gemma2 load(Context& ctx, const Checkpoint& checkpoint, const Gemma2Config& config, bool layer_by_layer = false);

  // y = last_hidden_state [T, hidden] of the T tokens `ids`, position 0 first, no padding: attention is causal, so what would be padded on
  // the right cannot change these rows. Temporaries come from ctx.arena. Taps: embed_tokens, layers.i, norm.
  // Throws kModel for an id outside the vocabulary and kUsage for more tokens than the model has positions.
  void forward(Context& ctx, std::span<const int32_t> ids, const Tensor& y) const;

  const Gemma2Config& config() const { return config_; }
  // Off reproduces reference runs with fused (SDPA) attention, which has no softcap. Not while another thread is in forward.
  void set_softcap(bool on) { softcap_ = on ? config_.softcap : 0.0f; }

 private:
  void check_ids(std::span<const int32_t> ids) const;
  void embed(Context& ctx, std::span<const int32_t> ids, const Tensor& x) const;
  void attention(Context& ctx, const Gemma2Layer& layer, const Tensor& x) const;
  void feed_forward(Context& ctx, const Gemma2Layer& layer, const Tensor& x) const;

  Gemma2Config config_;
  float softcap_ = 0;
  Tensor embedding_, norm_;  // [V, D], [D] f32
  std::vector<Gemma2Layer> layers_;
  std::function<Gemma2Layer(Context&, size_t)> load_layer_;  // where layers_ is empty
};

}  // namespace linea
