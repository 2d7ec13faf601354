// lm/mamba1.h: Mamba (arXiv 2312.00752), the first.
//
// Loads the authors' names and transformers' (MambaForCausalLM). State of a layer: the convolution's last inputs [K-1, di] and the scan's
// values [N, di].
// Reference: transformers; golden tests in tests/lm. Surprise: in_proj gives [x, z] here and [z, x, …] in Mamba-2.
#pragma once

#include <filesystem>
#include <vector>

#include "lm/language_model.h"
#include "lm/mamba_shell.h"

namespace linea {

struct Mamba1Layer {
  Tensor norm;               // [D]
  Weight in, x_proj;         // [2·di, D] rows x, z; [R + 2·N, di] rows dt, B, C
  Weight dt, out;            // [di, R], [D, di]
  Tensor in_bias, out_bias;  // undefined when absent
  Tensor conv, conv_bias;    // [K, di], [di]
  Tensor dt_bias, A, skip;   // [di], [N, di] negative, [di]
};

class Mamba1 final : public LanguageModel {
 public:
  // What config.json says of the norms; throws kModel naming file and key for what is unsupported. Everything else comes from the tensors.
  static float read_eps(const Json& object, const std::string& source);
  // Throws kModel for tensors that are missing, misshapen or unknown.
  static Mamba1 load(Context& ctx, const Checkpoint& checkpoint, float eps = 1e-5f);

  int64_t vocabulary_size() const override { return shell_.vocabulary_size(); }
  int64_t layers() const override { return static_cast<int64_t>(layers_.size()); }
  State initial_state(Context& ctx) const override;
  // Taps: layers.i.
  void prefill(Context& ctx, std::span<const int32_t> tokens, State& state, const Tensor& logits) const override;

 private:
  Mamba1Layer load_layer(const WeightLoader& w) const;
  void mixer(Context& ctx, int64_t layer, const Tensor& x, const State& state) const;

  float eps_ = 0;
  int64_t inner_ = 0, state_dim_ = 0, rank_ = 0, taps_ = 0;  // di, N, R, K
  MambaShell shell_;
  std::vector<Mamba1Layer> layers_;
};

}  // namespace linea
