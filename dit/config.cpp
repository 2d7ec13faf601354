#include "dit/config.h"

namespace linea {
namespace {

constexpr int64_t kMaxWidth = 1 << 16;

std::optional<double> optional_number(const Config& config, const std::string& key) {
  if (!config.has(key)) return std::nullopt;
  return config.number(key);
}

}  // namespace

SanaConfig SanaConfig::from(const Config& config) {
  SanaConfig c;
  const auto count = [&](const char* key, int64_t fallback) { return config.integer(key, 1, kMaxWidth, fallback); };
  c.in_channels = count("in_channels", c.in_channels);
  c.out_channels = config.has("out_channels") ? count("out_channels", c.out_channels) : c.in_channels;
  c.num_attention_heads = count("num_attention_heads", c.num_attention_heads);
  c.attention_head_dim = count("attention_head_dim", c.attention_head_dim);
  c.num_layers = count("num_layers", c.num_layers);
  c.num_cross_attention_heads = count("num_cross_attention_heads", c.num_cross_attention_heads);
  c.cross_attention_head_dim = count("cross_attention_head_dim", c.cross_attention_head_dim);
  c.cross_attention_dim = count("cross_attention_dim", c.cross_attention_dim);
  c.caption_channels = count("caption_channels", c.caption_channels);
  c.mlp_ratio = config.number("mlp_ratio", c.mlp_ratio);
  c.attention_bias = config.boolean("attention_bias", c.attention_bias);
  c.sample_size = count("sample_size", c.sample_size);
  c.patch_size = config.integer("patch_size", 1, 2, c.patch_size);
  c.norm_eps = static_cast<float>(config.number("norm_eps", c.norm_eps));
  c.interpolation_scale = optional_number(config, "interpolation_scale");
  c.guidance_embeds = config.boolean("guidance_embeds", c.guidance_embeds);
  c.guidance_embeds_scale = config.number("guidance_embeds_scale", c.guidance_embeds_scale);
  c.timestep_scale = config.number("timestep_scale", c.timestep_scale);

  const std::string qk_norm = config.text("qk_norm", "");
  if (!qk_norm.empty() && qk_norm != "rms_norm_across_heads") config.fail("qk_norm", "'" + qk_norm + "' is not supported");
  c.qk_norm = !qk_norm.empty();
  if (config.boolean("norm_elementwise_affine", false)) config.fail("norm_elementwise_affine", "true is not supported");
  if (!(c.mlp_ratio > 0 && c.mlp_ratio <= 64)) config.fail("mlp_ratio", "must be in (0, 64]");
  if (c.interpolation_scale && !(*c.interpolation_scale > 0)) config.fail("interpolation_scale", "must be positive");
  if (c.interpolation_scale && c.dim() % 4 != 0) config.fail("attention_head_dim", "a positional table needs a width divisible by 4");
  if (c.num_cross_attention_heads * c.cross_attention_head_dim != c.dim()) {
    config.fail("cross_attention_head_dim", "heads × width of the cross attention must equal " + std::to_string(c.dim()));
  }
  if (c.cross_attention_dim != c.dim()) config.fail("cross_attention_dim", "must equal " + std::to_string(c.dim()));
  return c;
}

}  // namespace linea
