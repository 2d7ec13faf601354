// vae/config.h: the configuration of a deep-compression autoencoder (vae/config.json of the diffusers layout, AutoencoderDC).
#pragma once

#include <string>
#include <vector>

#include "core/json.h"
#include "kernels/ops.h"

namespace linea {

enum class DcStageKind { kResidual, kEfficientVit };
enum class DcNorm { kRms, kBatch };

struct DcStage {
  DcStageKind kind = DcStageKind::kResidual;
  int64_t channels = 128;
  int64_t layers = 2;
  std::vector<int64_t> multiscales;  // depthwise kernels of the extra attention scales
  DcNorm norm = DcNorm::kRms;
  Activation activation = Activation::kSilu;
};

struct DcAeConfig {
  int64_t in_channels = 3, latent_channels = 32, attention_head_dim = 32;
  std::vector<DcStage> encoder, decoder;  // stage 0 is at (or next to) the image's resolution
  bool pixel_unshuffle_down = false;      // else a convolution of stride 2
  bool pixel_shuffle_up = false;          // else nearest enlargement and a convolution
  bool encoder_out_shortcut = true, decoder_in_shortcut = true;
  Activation decoder_out_activation = Activation::kRelu;
  double scaling_factor = 0.41407;

  int64_t compression() const { return int64_t{1} << (decoder.size() - 1); }  // pixels a latent covers, per side

  static DcAeConfig from(const Config& config);  // throws kModel
};

}  // namespace linea
