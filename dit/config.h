// dit/config.h: the configuration of a SANA transformer (transformer/config.json of the diffusers layout).
#pragma once

#include <optional>

#include "core/json.h"

namespace linea {

struct SanaConfig {
  int64_t in_channels = 32, out_channels = 32;
  int64_t num_attention_heads = 70, attention_head_dim = 32;
  int64_t num_layers = 20;
  int64_t num_cross_attention_heads = 20, cross_attention_head_dim = 112, cross_attention_dim = 2240;
  int64_t caption_channels = 2304;
  double mlp_ratio = 2.5;
  bool attention_bias = false;
  int64_t sample_size = 32;  // native latent side: selects the aspect-ratio table
  int64_t patch_size = 1;
  float norm_eps = 1e-6f;
  std::optional<double> interpolation_scale;  // none = no positional table
  bool guidance_embeds = false;               // Sprint: the guidance scale is an input of the model
  double guidance_embeds_scale = 0.1;
  bool qk_norm = false;  // "rms_norm_across_heads"
  double timestep_scale = 1.0;

  int64_t dim() const { return num_attention_heads * attention_head_dim; }
  int64_t hidden() const { return static_cast<int64_t>(mlp_ratio * static_cast<double>(dim())); }

  // Defaults are those of the reference for absent keys. Throws kModel for values that the architecture does not allow.
  static SanaConfig from(const Config& config);
};

}  // namespace linea
