// lm/mamba2.h: Mamba-2 (arXiv 2405.21060).
//
// Loads the authors' names and transformers' (Mamba2ForCausalLM), which differ in one letter. State of a layer: the convolution's last
// inputs [K-1, di + 2·G·N] and S [H, N, P] (state, channel of the head).
// Reference: transformers for one group; with several, the gated norm works group by group as in the authors' code, which transformers does
// not do. Golden tests in tests/lm.
#pragma once

#include <filesystem>
#include <vector>

#include "core/json.h"
#include "lm/language_model.h"
#include "lm/mamba_shell.h"

namespace linea {

// What the tensors' shapes do not tell.
struct Mamba2Config {
  int64_t groups = 1;
  float eps = 1e-5f;

  // Throws kModel naming file and key. Reads transformers' config.json and the authors'.
  static Mamba2Config parse(const Json& object, const std::string& source);
  static Mamba2Config read(const std::filesystem::path& file);
};

struct Mamba2Layer {
  Tensor norm;               // [D]
  Weight in, out;            // [2·di + 2·G·N + H, D] rows z, x, B, C, dt; [D, di]
  Tensor in_bias, out_bias;  // undefined when absent
  Tensor conv, conv_bias;    // [K, di + 2·G·N], [di + 2·G·N]
  Tensor dt_bias, A, skip;   // [H]; A < 0
  Tensor gated_norm;         // [di]
};

class Mamba2 final : public LanguageModel {
 public:
  // Throws kModel for tensors that are missing, misshapen or unknown.
  static Mamba2 load(Context& ctx, const Checkpoint& checkpoint, const Mamba2Config& config);

  int64_t vocabulary_size() const override { return shell_.vocabulary_size(); }
  int64_t layers() const override { return static_cast<int64_t>(layers_.size()); }
  State initial_state(Context& ctx) const override;
  // Taps: layers.i.
  void prefill(Context& ctx, std::span<const int32_t> tokens, State& state, const Tensor& logits) const override;

 private:
  Mamba2Layer load_layer(const WeightLoader& w) const;
  void mixer(Context& ctx, int64_t layer, const Tensor& x, const State& state) const;

  Mamba2Config config_;
  int64_t inner_ = 0, heads_ = 0, state_dim_ = 0, taps_ = 0;  // di, H, N, K
  MambaShell shell_;
  std::vector<Mamba2Layer> layers_;
};

}  // namespace linea
