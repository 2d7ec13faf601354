// lm/rwkv_channel_mix.h: the gated channel mix of RWKV-4, 5 and 6:  x ← x + σ(W_r z_r) ⊙ W_v relu(W_k z_k)².
#pragma once

#include "lm/rwkv_shell.h"

namespace linea {

// How much of the previous token an input takes, [C]. RWKV-6 stores it, RWKV-4 and 5 store what is left for the current token.
Tensor previous_share(const WeightLoader& w, const std::string& name, int64_t channels, bool stored_for_current);

class GatedChannelMix {
 public:
  // w stands at "blocks.i.": takes ln2 and ffn.
  static GatedChannelMix load(const WeightLoader& w, int64_t channels);
  void operator()(Context& ctx, const Tensor& x, const Tensor& shift_state) const;

 private:
  LayerNorm ln2_;
  Tensor x_k_, x_r_;
  Weight key_, value_, receptance_;
};

}  // namespace linea
