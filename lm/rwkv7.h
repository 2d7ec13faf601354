// lm/rwkv7.h: RWKV-7 "Goose" (arXiv 2503.14456), also called x070.
//
// Loads by the authors' names (blocks.i.att.…, see model_source.h); sizes and ranks come from the tensors, there is no config file.
// State of a layer: the previous token's inputs of time mix and channel mix [C], and S [H, N, N] (key, value).
// Reference: the authors' Python package; golden tests in tests/lm.
// Surprises: kk is made from k before its learning rate; block 0's v0, v1, v2 mean nothing; low-rank matrices are stored [in, out].
#pragma once

#include <vector>

#include "lm/language_model.h"
#include "lm/rwkv_shell.h"

namespace linea {

struct Rwkv7TimeMix {
  Tensor x_r, x_w, x_k, x_v, x_a, x_g;        // [C]: how much of the previous token each input takes
  LowRank decay, learning_rate, value, gate;  // w, a, v (not in block 0), g
  Tensor k_k, k_a;                            // [H·N]
  Tensor r_k;                                 // [H, N]
  Weight receptance, key, value_projection, output;
  LayerNorm ln_x;
};

struct Rwkv7ChannelMix {
  Tensor x_k;
  Weight key, value;
};

struct Rwkv7Layer {
  LayerNorm ln1, ln2;
  Rwkv7TimeMix time_mix;
  Rwkv7ChannelMix channel_mix;
};

// Where the projections of a layer go, all [T, H·N].
struct Rwkv7Projected {
  Tensor r, k, v, g, log_w, eta, share;  // no share in block 0
};

class Rwkv7 final : public LanguageModel {
 public:
  static bool matches(const Checkpoint& checkpoint) { return checkpoint.contains("blocks.0.att.r_k"); }
  // eps of the norm over heads; it does not follow from the tensors. Throws kModel for tensors that are missing, misshapen or unknown.
  static Rwkv7 load(Context& ctx, const Checkpoint& checkpoint, float heads_eps = 64e-5f);

  int64_t vocabulary_size() const override { return shell_.vocabulary_size(); }
  int64_t layers() const override { return static_cast<int64_t>(layers_.size()); }
  State initial_state(Context& ctx) const override;
  // Taps: blocks.i.
  void prefill(Context& ctx, std::span<const int32_t> tokens, State& state, const Tensor& logits) const override;

 private:
  void time_mix(Context& ctx, int64_t layer, const Tensor& x, const Tensor& v_first, const State& state) const;
  static void project_inputs(Context& ctx, const Rwkv7Layer& l, const Tensor& x, const Tensor& shift_state, const Rwkv7Projected& to);
  void channel_mix(Context& ctx, int64_t layer, const Tensor& x, const State& state) const;

  int64_t heads_ = 0, head_dim_ = 0;
  float heads_eps_ = 0;
  RwkvShell shell_;
  std::vector<Rwkv7Layer> layers_;
};

}  // namespace linea
