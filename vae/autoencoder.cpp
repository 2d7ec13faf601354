#include "vae/autoencoder.h"

#include <algorithm>

#include "kernels/backend.h"

namespace linea {
namespace {

constexpr float kNormEps = 1e-5f;
constexpr size_t kMaxStripStages = 3;  // above these, maps are so small that whole ones cost nothing

// The number of leading stages (from the highest resolution) that consist of convolutions only.
size_t strip_stages(const std::vector<DcStage>& stages) {
  size_t count = 0;
  while (count < stages.size() - 1 && count < kMaxStripStages && stages[count].kind == DcStageKind::kResidual) ++count;
  return count;
}

// Stage 0 may be empty: the convolution next to the image then resamples itself.
bool has_empty_stage(const std::vector<DcStage>& stages) { return stages[0].layers == 0; }

DcStageWeights load_blocks(const WeightLoader& w, const DcStage& stage, int64_t head_dim, int64_t first_index) {
  DcStageWeights weights;
  for (int64_t i = 0; i < stage.layers; ++i) {
    const WeightLoader block = w.scope(std::to_string(first_index + i));
    if (stage.kind == DcStageKind::kResidual) {
      weights.blocks.emplace_back(load_residual_block(block, stage));
    } else {
      weights.blocks.emplace_back(load_efficient_vit_block(block, stage, head_dim));
    }
  }
  return weights;
}

}  // namespace

DcAutoencoder DcAutoencoder::load(Context& ctx, const Checkpoint& checkpoint, const DcAeConfig& config, Parts parts) {
  const WeightLoader w(ctx, checkpoint);
  DcAutoencoder model;
  model.config_ = config;
  const int64_t latent = config.latent_channels, image = config.in_channels;

  const std::vector<DcStage>& dec = config.decoder;
  model.decoder_in_ = load_conv(w, "decoder.conv_in", dec.back().channels, latent);
  for (size_t i = 0; i < dec.size(); ++i) {
    const bool resamples = i + 1 < dec.size() && dec[i].layers > 0;
    const WeightLoader stage = w.scope("decoder.up_blocks." + std::to_string(i));
    model.decoder_.push_back(load_blocks(stage, dec[i], config.attention_head_dim, resamples ? 1 : 0));
    if (resamples) {
      model.decoder_[i].resample = load_conv(stage, "0.conv", dec[i].channels * (config.pixel_shuffle_up ? 4 : 1), dec[i + 1].channels);
    }
  }
  const bool dec_empty = has_empty_stage(dec);
  const int64_t last = dec[dec_empty ? 1 : 0].channels;
  model.decoder_norm_ = load_norm(w, "decoder.norm_out", last);
  model.decoder_out_ =
      load_conv(w, dec_empty ? "decoder.conv_out.conv" : "decoder.conv_out", image * (dec_empty && config.pixel_shuffle_up ? 4 : 1), last);
  if (parts == kDecoderOnly) return model;

  const std::vector<DcStage>& enc = config.encoder;
  const bool enc_empty = has_empty_stage(enc);
  const int64_t first = enc[enc_empty ? 1 : 0].channels;
  model.encoder_in_ = load_conv(w, enc_empty ? "encoder.conv_in.conv" : "encoder.conv_in",
                                first / (enc_empty && config.pixel_unshuffle_down ? 4 : 1), image);
  for (size_t i = 0; i < enc.size(); ++i) {
    const WeightLoader stage = w.scope("encoder.down_blocks." + std::to_string(i));
    model.encoder_.push_back(load_blocks(stage, enc[i], config.attention_head_dim, 0));
    if (i + 1 < enc.size() && enc[i].layers > 0) {
      model.encoder_[i].resample = load_conv(stage, std::to_string(enc[i].layers) + ".conv",
                                             enc[i + 1].channels / (config.pixel_unshuffle_down ? 4 : 1), enc[i].channels);
    }
  }
  model.encoder_out_ = load_conv(w, "encoder.conv_out", latent, enc.back().channels);
  return model;
}

RowStrip DcAutoencoder::run_blocks(Context& ctx, const DcStageWeights& stage, RowStrip x) const {
  for (const auto& block : stage.blocks) {
    ctx.cancel.throw_if_cancelled();
    if (const auto* residual = std::get_if<DcResidualBlock>(&block)) {
      x = residual_block(ctx, *residual, x);
    } else {
      efficient_vit_block(ctx, std::get<DcEfficientVitBlock>(block), x.map);
    }
  }
  return x;
}

// ---- Decoder -------------------------------------------------------------------------------------------------------------------------

RowStrip DcAutoencoder::decode_in(Context& ctx, const Tensor& latents) const {
  const RowStrip x = conv3x3(ctx, decoder_in_, RowStrip::whole(latents));
  if (config_.decoder_in_shortcut) add_channel_repeat(ctx, latents, x.map);
  return x;
}

RowStrip DcAutoencoder::decode_stage(Context& ctx, size_t index, RowStrip x) const {
  const DcStageWeights& stage = decoder_[index];
  if (stage.resample) x = upsample(ctx, *stage.resample, x, config_.decoder[index].channels, config_.pixel_shuffle_up, /*shortcut=*/true);
  return run_blocks(ctx, stage, x);
}

RowStrip DcAutoencoder::decode_out(Context& ctx, const RowStrip& x) const {
  rms_norm(ctx, x.map, decoder_norm_.weight, x.map,
           {.eps = kNormEps, .bias = decoder_norm_.bias, .activation = config_.decoder_out_activation});
  if (!has_empty_stage(config_.decoder)) return conv3x3(ctx, decoder_out_, x);
  return upsample(ctx, decoder_out_, x, config_.in_channels, config_.pixel_shuffle_up, /*shortcut=*/false);
}

// Rows of the whole map beyond a strip's own that its last convolutions reach: one of the last convolution, two a residual block, one a
// resampling, halved at each.
int64_t DcAutoencoder::decoder_halo() const {
  int64_t halo = 1;
  for (size_t i = 0; i < strip_stages(config_.decoder); ++i) halo = (halo + 2 * config_.decoder[i].layers + 1) / 2 + 1;
  return halo;
}

double DcAutoencoder::strip_work(int64_t latent_height, int64_t strip_rows) const {
  const size_t strips = strip_stages(config_.decoder);
  const int64_t height = latent_height << (config_.decoder.size() - 1 - strips), factor = int64_t{1} << strips, halo = decoder_halo();
  const int64_t step = strip_rows > 0 ? std::max<int64_t>(strip_rows / factor, 1) : height;
  int64_t rows = 0;
  for (int64_t row = 0; row < height; row += step)
    rows += std::min(std::min(row + step, height) + halo, height) - std::max<int64_t>(row - halo, 0);
  return static_cast<double>(rows) / static_cast<double>(height);
}

int64_t DcAutoencoder::transformed_bytes(const Backend& backend) const {
  const auto plain = [&](const ConvLayer& layer) { return backend.transformed_bytes(layer.weight); };
  const auto resampling = [&](const ConvLayer& layer) {
    return config_.pixel_shuffle_up ? plain(layer) : backend.folded_bytes(layer.weight);
  };
  int64_t bytes = plain(decoder_in_) + (has_empty_stage(config_.decoder) ? resampling(decoder_out_) : plain(decoder_out_));
  for (const DcStageWeights& stage : decoder_) {
    if (stage.resample) bytes += resampling(*stage.resample);
    for (const auto& block : stage.blocks) {
      if (const auto* residual = std::get_if<DcResidualBlock>(&block)) bytes += plain(residual->conv1) + plain(residual->conv2);
    }
  }
  return bytes;
}

void DcAutoencoder::decode(Context& ctx, const Tensor& latents, const Tensor& image, int64_t strip_rows) const {
  const Arena::Scope scope(*ctx.arena);
  if (latents.dim(0) > 1) {  // strips are of one picture, and so is the memory
    for (int64_t b = 0; b < latents.dim(0); ++b) decode(ctx, latents.slice(0, b, 1), image.slice(0, b, 1), strip_rows);
    return;
  }
  const size_t strips = strip_stages(config_.decoder);
  RowStrip whole = decode_in(ctx, latents);
  for (size_t i = decoder_.size(); i-- > strips;) whole = decode_stage(ctx, i, whole);

  const int64_t halo = decoder_halo();
  const int64_t factor = image.dim(1) / whole.height;
  const int64_t step = strip_rows > 0 ? std::max<int64_t>(strip_rows / factor, 1) : whole.height;
  for (int64_t row = 0; row < whole.height; row += step) {
    const Arena::Scope strip_scope(*ctx.arena);
    const int64_t end = std::min(row + step, whole.height);
    RowStrip source = whole.narrow(std::max<int64_t>(row - halo, 0), std::min(end + halo, whole.height));
    if (strips == 0 || source.rows() < whole.rows()) {  // the blocks work in place, and the next strip needs these rows again
      const Tensor copy = ctx.allocate(source.map.shape());
      cast(ctx, source.map, copy);
      source.map = copy;
    }
    for (size_t i = strips; i-- > 0;) source = decode_stage(ctx, i, source);
    const RowStrip pixels = decode_out(ctx, source).narrow(row * factor, end * factor);
    cast(ctx, pixels.map, image.slice(1, row * factor, (end - row) * factor));
  }
}

// ---- Encoder -------------------------------------------------------------------------------------------------------------------------

RowStrip DcAutoencoder::encode_in(Context& ctx, const RowStrip& image) const {
  if (!has_empty_stage(config_.encoder)) return conv3x3(ctx, encoder_in_, image);
  return downsample(ctx, encoder_in_, image, config_.encoder[1].channels, config_.pixel_unshuffle_down, /*shortcut=*/false);
}

RowStrip DcAutoencoder::encode_stage(Context& ctx, size_t index, RowStrip x) const {
  const DcStageWeights& stage = encoder_[index];
  x = run_blocks(ctx, stage, x);
  if (!stage.resample) return x;
  return downsample(ctx, *stage.resample, x, config_.encoder[index + 1].channels, config_.pixel_unshuffle_down, /*shortcut=*/true);
}

void DcAutoencoder::encode_out(Context& ctx, const Tensor& x, const Tensor& latents) const {
  conv2d(ctx, x, encoder_out_.weight, latents, {.bias = encoder_out_.bias});
  if (config_.encoder_out_shortcut) add_channel_mean(ctx, x, latents);
}

void DcAutoencoder::encode(Context& ctx, const Tensor& image, const Tensor& latents, int64_t strip_rows) const {
  const Arena::Scope scope(*ctx.arena);
  LINEA_ASSERT(!encoder_.empty());
  if (image.dim(0) > 1) {
    for (int64_t b = 0; b < image.dim(0); ++b) encode(ctx, image.slice(0, b, 1), latents.slice(0, b, 1), strip_rows);
    return;
  }
  const size_t strips = strip_stages(config_.encoder);
  const std::vector<DcStage>& enc = config_.encoder;
  const int64_t factor = int64_t{1} << strips;  // image rows a row of the joined map stands for

  // Rows of the image beyond a strip's own that reach it: the same sum as in the decoder, doubled at each stage.
  int64_t halo = 0;
  for (size_t i = strips; i-- > 0;) halo = 2 * (halo + 1) + 2 * enc[i].layers;
  halo += 2;

  const int64_t height = image.dim(1) / factor, width = image.dim(2) / factor;
  const RowStrip joined = RowStrip::whole(ctx.allocate({1, height, width, enc[strips].channels}));
  const int64_t step = strip_rows > 0 ? std::max<int64_t>(strip_rows / factor, 1) : height;
  for (int64_t row = 0; row < height; row += step) {
    const Arena::Scope strip_scope(*ctx.arena);
    const int64_t end = std::min(row + step, height);
    RowStrip x = RowStrip::whole(image).narrow(std::max<int64_t>(row * factor - halo, 0), std::min(end * factor + halo, image.dim(1)));
    x = encode_in(ctx, x);
    for (size_t i = 0; i < strips; ++i) x = encode_stage(ctx, i, x);
    cast(ctx, x.narrow(row, end).map, joined.map.slice(1, row, end - row));
  }
  RowStrip x = joined;
  for (size_t i = strips; i < encoder_.size(); ++i) x = encode_stage(ctx, i, x);
  encode_out(ctx, x.map, latents);
}

}  // namespace linea
