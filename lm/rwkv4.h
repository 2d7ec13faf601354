// lm/rwkv4.h: RWKV-4 (arXiv 2305.13048).
//
// Loads by the authors' names. State of a layer: the previous token's inputs of time mix and channel mix [C], and three rows [3, C] of the
// weighted average.
// Reference: the authors' Python package; golden tests in tests/lm.
#pragma once

#include <vector>

#include "lm/language_model.h"
#include "lm/rwkv_channel_mix.h"

namespace linea {

struct Rwkv4TimeMix {
  LayerNorm ln1;
  Tensor x_k, x_v, x_r;     // [C]: how much of the previous token each input takes
  Tensor log_decay, bonus;  // [C]
  Weight receptance, key, value, output;
};

class Rwkv4 final : public LanguageModel {
 public:
  static bool matches(const Checkpoint& checkpoint);
  // Throws kModel for tensors that are missing, misshapen or unknown.
  static Rwkv4 load(Context& ctx, const Checkpoint& checkpoint);

  int64_t vocabulary_size() const override { return shell_.vocabulary_size(); }
  int64_t layers() const override { return static_cast<int64_t>(time_mixes_.size()); }
  State initial_state(Context& ctx) const override;
  // Taps: blocks.i.
  void prefill(Context& ctx, std::span<const int32_t> tokens, State& state, const Tensor& logits) const override;

 private:
  void time_mix(Context& ctx, int64_t layer, const Tensor& x, const State& state) const;

  int64_t width_ = 0;  // of the time mix
  RwkvShell shell_;
  std::vector<Rwkv4TimeMix> time_mixes_;
  std::vector<GatedChannelMix> channel_mixes_;
};

}  // namespace linea
