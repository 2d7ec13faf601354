// lm/rwkv56.h: RWKV-5 "Eagle" (5.0, 5.1, 5.2) and RWKV-6 "Finch" (arXiv 2404.05892).
//
// Loads by the authors' names; the version comes from which tensors there are. One recurrence: 5 has a constant decay and constant mixes
// with the previous token, 6 computes both from the input. State of a layer: the previous token's inputs of time mix and channel mix [C],
// and S [H, N, N] (key, value). Reference: the authors' Python package; golden tests in tests/lm. Surprises: the state is read before the
// token is written, whose own part gets the bonus u instead; 5.0 has no gate.
#pragma once

#include <array>
#include <vector>

#include "lm/language_model.h"
#include "lm/rwkv_channel_mix.h"

namespace linea {

struct Rwkv56TimeMix {
  enum Input { kW, kK, kV, kR, kG, kInputs };  // in the order of RWKV-6's low-rank mixes
  LayerNorm ln1, ln_x;
  std::array<Tensor, kInputs> mix;     // [C]: how much of the previous token each input takes; undefined where a version has no such input
  Tensor mix_x;                        // RWKV-6: what is added to `mix` is computed from this mix, by mix_down and mix_up
  Weight mix_down;                     // [5·m, C]
  std::array<Weight, kInputs> mix_up;  // [A, m]
  LowRank decay;                       // RWKV-6
  Tensor log_decay;                    // RWKV-5: [1, H, N or 1]
  Tensor bonus;                        // u [H, N]
  Weight receptance, key, value, gate, output;
};

class Rwkv56 final : public LanguageModel {
 public:
  static bool matches(const Checkpoint& checkpoint);
  // rescaled_every n > 0: the weights that add to the residual stream were divided by 2^(i div n) in block i, so the stream is halved after
  // every n blocks. Throws kModel for tensors that are missing, misshapen or unknown.
  static Rwkv56 load(Context& ctx, const Checkpoint& checkpoint, int64_t rescaled_every = 0);

  int64_t vocabulary_size() const override { return shell_.vocabulary_size(); }
  int64_t layers() const override { return static_cast<int64_t>(time_mixes_.size()); }
  State initial_state(Context& ctx) const override;
  // Taps: blocks.i.
  void prefill(Context& ctx, std::span<const int32_t> tokens, State& state, const Tensor& logits) const override;

 private:
  Rwkv56TimeMix load_time_mix(const WeightLoader& w) const;
  void time_mix(Context& ctx, int64_t layer, const Tensor& x, const State& state) const;

  int64_t heads_ = 0, head_dim_ = 0, rescaled_every_ = 0;
  bool is_6_ = false;
  RwkvShell shell_;
  std::vector<Rwkv56TimeMix> time_mixes_;
  std::vector<GatedChannelMix> channel_mixes_;
};

}  // namespace linea
