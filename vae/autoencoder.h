// vae/autoencoder.h: DC-AE, the deep-compression autoencoder (arXiv 2410.10733): images ↔ latents at 1/32 of the side.
//
// Reference: AutoencoderDC of diffusers; golden tests in tests/vae.
//
// Stages with global attention run on whole maps; the purely convolutional high-resolution stages run in strips of rows with halos, which
// gives the same bits as the whole map in bounded memory.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "core/checkpoint.h"
#include "vae/blocks.h"
#include "vae/config.h"

namespace linea {

struct DcStageWeights {
  std::optional<ConvLayer> resample;  // down after, or up before, the blocks
  std::vector<std::variant<DcResidualBlock, DcEfficientVitBlock>> blocks;
};

class DcAutoencoder {
 public:
  enum Parts { kDecoderOnly, kEncoderAndDecoder };
  static DcAutoencoder load(Context& ctx, const Checkpoint& checkpoint, const DcAeConfig& config, Parts parts);

  // latents [B, h, w, latent_channels] of the context's type, already divided by the scaling factor;
  // image [B, h·f, w·f, in_channels] f32, nominally in [-1, 1], not clamped (f = config().compression()).
  // strip_rows: rows of the image computed at a time in the high-resolution stages, rounded to what the stages allow; 0 = all.
  void decode(Context& ctx, const Tensor& latents, const Tensor& image, int64_t strip_rows = 0) const;

  // Rows that the strips of the high-resolution stages compute, halos included, over those of the map: what strips cost in time.
  double strip_work(int64_t latent_height, int64_t strip_rows) const;
  // What a device may make of the decoder's convolutions at their first use, beside the weights.
  int64_t transformed_bytes(const Backend& backend) const;

  // The inverse, not multiplied by the scaling factor: image of the context's type, height and width multiples of f.
  void encode(Context& ctx, const Tensor& image, const Tensor& latents, int64_t strip_rows = 0) const;

  const DcAeConfig& config() const { return config_; }

 private:
  RowStrip run_blocks(Context& ctx, const DcStageWeights& stage, RowStrip x) const;
  RowStrip decode_stage(Context& ctx, size_t index, RowStrip x) const;
  RowStrip encode_stage(Context& ctx, size_t index, RowStrip x) const;
  RowStrip decode_in(Context& ctx, const Tensor& latents) const;
  RowStrip decode_out(Context& ctx, const RowStrip& x) const;
  RowStrip encode_in(Context& ctx, const RowStrip& image) const;
  void encode_out(Context& ctx, const Tensor& x, const Tensor& latents) const;
  int64_t decoder_halo() const;

  DcAeConfig config_;
  ConvLayer encoder_in_, encoder_out_, decoder_in_, decoder_out_;
  std::vector<DcStageWeights> encoder_, decoder_;  // index = stage, 0 at the highest resolution
  DcNormLayer decoder_norm_;
};

}  // namespace linea
