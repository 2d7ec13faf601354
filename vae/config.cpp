#include "vae/config.h"

namespace linea {
namespace {

constexpr int64_t kMaxChannels = 1 << 14;

// A value that the file gives once for all stages, or as a list with one entry a stage.
std::vector<std::string> text_per_stage(const Config& config, const std::string& key, const std::string& fallback, size_t stages) {
  if (!config.has(key)) return std::vector<std::string>(stages, fallback);
  const Json& value = config.at(key);
  if (value.is_string()) return std::vector<std::string>(stages, value.get<std::string>());
  if (!value.is_array() || value.size() != stages) config.fail(key, "expected a string or " + std::to_string(stages) + " strings");
  std::vector<std::string> list;
  for (const Json& item : value) {
    if (!item.is_string()) config.fail(key, "expected strings");
    list.push_back(item.get<std::string>());
  }
  return list;
}

Activation parse_activation(const Config& config, const std::string& key, const std::string& name) {
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "relu") return Activation::kRelu;
  config.fail(key, "activation '" + name + "' is not supported; expected silu or relu");
}

std::vector<std::vector<int64_t>> read_multiscales(const Config& config, const std::string& key, size_t stages) {
  std::vector<std::vector<int64_t>> scales(stages);
  if (!config.has(key)) {  // the reference's default: one scale of 5 on the deeper half
    for (size_t i = 3; i < stages; ++i) scales[i] = {5};
    return scales;
  }
  const Json& list = config.at(key);
  if (!list.is_array() || list.size() != stages) config.fail(key, "expected " + std::to_string(stages) + " lists");
  for (size_t i = 0; i < stages; ++i) {
    if (!list[i].is_array() || list[i].size() > 4) config.fail(key, "expected lists of kernel sizes");
    for (const Json& kernel : list[i]) {
      if (!kernel.is_number_integer() || kernel.get<int64_t>() < 1 || kernel.get<int64_t>() > 15 || kernel.get<int64_t>() % 2 == 0) {
        config.fail(key, "expected odd kernel sizes from 1 to 15");
      }
      scales[i].push_back(kernel.get<int64_t>());
    }
  }
  return scales;
}

std::vector<DcStage> read_stages(const Config& config, const std::string& side, const std::string& norms, const std::string& activations) {
  const std::string channels_key = side + "_block_out_channels", layers_key = side + "_layers_per_block";
  const std::vector<int64_t> channels =
      config.has(channels_key) ? config.integers(channels_key) : std::vector<int64_t>{128, 256, 512, 512, 1024, 1024};
  const size_t stages = channels.size();
  if (stages < 2 || stages > 10) config.fail(channels_key, "expected 2 to 10 stages");
  const std::vector<int64_t> layers = config.has(layers_key) ? config.integers(layers_key)
                                      : side == "encoder"    ? std::vector<int64_t>{2, 2, 2, 3, 3, 3}
                                                             : std::vector<int64_t>{3, 3, 3, 3, 3, 3};
  if (layers.size() != stages) config.fail(layers_key, "expected " + std::to_string(stages) + " numbers");
  const auto kinds = text_per_stage(config, side + "_block_types", "ResBlock", stages);
  const auto scales = read_multiscales(config, side + "_qkv_multiscales", stages);
  const auto norm_names = norms.empty() ? std::vector<std::string>(stages, "rms_norm") : text_per_stage(config, norms, "rms_norm", stages);
  const auto activation_names =
      activations.empty() ? std::vector<std::string>(stages, "silu") : text_per_stage(config, activations, "silu", stages);

  std::vector<DcStage> list(stages);
  for (size_t i = 0; i < stages; ++i) {
    DcStage& stage = list[i];
    if (kinds[i] != "ResBlock" && kinds[i] != "EfficientViTBlock")
      config.fail(side + "_block_types", "'" + kinds[i] + "' is not supported");
    if (norm_names[i] != "rms_norm" && norm_names[i] != "batch_norm") config.fail(norms, "'" + norm_names[i] + "' is not supported");
    if (channels[i] < 1 || channels[i] > kMaxChannels)
      config.fail(channels_key, "expected widths from 1 to " + std::to_string(kMaxChannels));
    if (layers[i] < 0 || layers[i] > 64 || (layers[i] == 0 && i != 0)) config.fail(layers_key, "only stage 0 may be empty");
    stage.kind = kinds[i] == "ResBlock" ? DcStageKind::kResidual : DcStageKind::kEfficientVit;
    stage.channels = channels[i];
    stage.layers = layers[i];
    stage.multiscales = scales[i];
    stage.norm = norm_names[i] == "rms_norm" ? DcNorm::kRms : DcNorm::kBatch;
    stage.activation = parse_activation(config, activations, activation_names[i]);
  }
  return list;
}

// The shortcuts average or repeat channels, so neighbouring widths must divide.
void check_widths(const Config& config, const std::vector<DcStage>& stages, const std::string& side, int64_t latent_channels) {
  const std::string key = side + "_block_out_channels";
  for (size_t i = stages[0].layers == 0 ? 1 : 0; i + 1 < stages.size(); ++i) {
    const int64_t fine = stages[i].channels, coarse = stages[i + 1].channels;
    if (4 * fine % coarse != 0) {
      config.fail(key, std::to_string(fine) + " and " + std::to_string(coarse) + " do not fit the shortcut between their stages");
    }
  }
  if (stages.back().channels % latent_channels != 0) config.fail(key, "the last width is not a multiple of the latent channels");
}

}  // namespace

DcAeConfig DcAeConfig::from(const Config& config) {
  DcAeConfig c;
  c.in_channels = config.integer("in_channels", 1, 16, c.in_channels);
  c.latent_channels = config.integer("latent_channels", 1, kMaxChannels, c.latent_channels);
  c.attention_head_dim = config.integer("attention_head_dim", 1, 1024, c.attention_head_dim);
  c.encoder = read_stages(config, "encoder", "", "");
  c.decoder = read_stages(config, "decoder", "decoder_norm_types", "decoder_act_fns");
  if (c.encoder.size() != c.decoder.size())
    config.fail("decoder_block_out_channels", "encoder and decoder have different numbers of stages");
  check_widths(config, c.encoder, "encoder", c.latent_channels);
  check_widths(config, c.decoder, "decoder", c.latent_channels);
  // The reference compares with these exact strings; everything else means a convolution, or a shuffle.
  c.pixel_unshuffle_down = config.text("downsample_block_type", "pixel_unshuffle") == "pixel_unshuffle";
  c.pixel_shuffle_up = config.text("upsample_block_type", "pixel_shuffle") != "interpolate";
  c.encoder_out_shortcut = config.boolean("encoder_out_shortcut", true);
  c.decoder_in_shortcut = config.boolean("decoder_in_shortcut", true);
  c.decoder_out_activation = parse_activation(config, "decoder_conv_act_fn", config.text("decoder_conv_act_fn", "relu"));
  c.scaling_factor = config.number("scaling_factor", 1.0);
  if (!(c.scaling_factor > 0)) config.fail("scaling_factor", "must be positive");
  return c;
}

}  // namespace linea
