#include "app/engine/cost.h"

#include <algorithm>

namespace linea {
namespace {

double number(int64_t n) { return static_cast<double>(n); }

double residual_block_flops(double pixels, double channels) { return 2 * pixels * 2 * 9 * channels * channels; }

double efficient_vit_block_flops(const DcStage& stage, double pixels, int64_t head_dim) {
  const double C = number(stage.channels), d = number(head_dim);
  double macs = 3 * C * C;  // q, k, v
  for (const int64_t k : stage.multiscales) macs += 3 * C * (number(k * k) + d);
  const double scales = 1 + static_cast<double>(stage.multiscales.size());
  macs += scales * (2 * C * (d + 1) + C * C);  // attention, output
  macs += 8 * C * C + 9 * 8 * C + 4 * C * C;   // GLUMBConv
  return 2 * pixels * macs;
}

}  // namespace

double text_flops(const Gemma2Config& c, int64_t tokens) {
  const double D = number(c.hidden_size), d = number(c.head_dim), H = number(c.heads), T = number(tokens);
  const double projections = D * d * (2 * H + 2 * number(c.kv_heads)), feed_forward = 3 * D * number(c.intermediate_size);
  const double attention = 2 * H * d * (T + 1) / 2;  // causal; that windows are shorter counts only beyond them
  return 2 * T * number(c.layers) * (projections + feed_forward + attention);
}

double transformer_step_flops(const SanaConfig& c, int64_t height, int64_t width, int64_t text_tokens, int64_t batch) {
  const double D = number(c.dim()), H = number(c.hidden()), d = number(c.attention_head_dim);
  const double self_attention = 4 * D * D + 2 * D * (d + 1);               // q, k, v, out and the two sums
  const double cross_attention = 2 * D * D + 2 * D * number(text_tokens);  // q, out
  const double feed_forward = 2 * H * D + 9 * 2 * H + H * D;
  const double pixel = D * number(c.patch_size * c.patch_size);
  const double embedding = pixel * number(c.in_channels), out = pixel * number(c.out_channels);
  const double member = number(c.num_layers) * (self_attention + cross_attention + feed_forward) + embedding + out;
  const double shared = embedding + self_attention;  // members have the same latents: one for all until they meet their text
  return 2 * number(height * width) * (number(batch) * member - number(batch - 1) * shared);
}

double decoder_flops(const DcAeConfig& c, int64_t height, int64_t width) {
  double flops = 0;
  double pixels = number(height * width);
  const std::vector<DcStage>& stages = c.decoder;
  const size_t first = stages[0].layers == 0 ? 1 : 0;
  const double taps = c.pixel_shuffle_up ? 9 : 4;  // a picture pixel
  flops += 2 * pixels * 9 * number(stages[first].channels * c.in_channels);
  for (size_t i = 0; i < stages.size(); ++i, pixels /= 4) {
    const DcStage& stage = stages[i];
    for (int64_t layer = 0; layer < stage.layers; ++layer) {
      flops += stage.kind == DcStageKind::kResidual ? residual_block_flops(pixels, number(stage.channels))
                                                    : efficient_vit_block_flops(stage, pixels, c.attention_head_dim);
    }
    if (stage.layers > 0 && i + 1 < stages.size()) flops += 2 * pixels * taps * number(stage.channels * stages[i + 1].channels);
  }
  return flops + 2 * pixels * 4 * 9 * number(c.latent_channels * stages.back().channels);
}

namespace {

constexpr int64_t kUsualPromptTokens = 60;
constexpr int64_t kInstructedTokens = 300;      // of a prompt with the instruction before it, which are cut there
constexpr double kStreamBytesPerSecond = 40e9;  // prepared layers from pinned memory, over PCIe

double steps_flops(const SanaPipeline& pipeline, const PictureRequest& request, PictureSize rendered) {
  const SanaConfig& dit = pipeline.transformer_config();
  const int64_t f = pipeline.vae_config().compression() * dit.patch_size;
  return request.steps *
         transformer_step_flops(dit, rendered.height / f, rendered.width / f, kUsualPromptTokens, request.guidance > 1 ? 2 : 1);
}

}  // namespace

double picture_flops(const SanaPipeline& pipeline, const PictureRequest& request) {
  const PictureSize rendered = pipeline.resolve_size(request).rendered;
  return steps_flops(pipeline, request, rendered) + decoder_flops(pipeline.vae_config(), rendered.height, rendered.width);
}

StageSeconds expected_seconds(const SanaPipeline& pipeline, const PictureRequest& request, const MemoryPlan& plan,
                              double flops_per_second) {
  const double text = text_flops(pipeline.text_config(), kInstructedTokens) / flops_per_second;
  const double steps = steps_flops(pipeline, request, plan.rendered) / flops_per_second;
  const double copies = request.steps * number(plan.transformer.streamed_bytes) / kStreamBytesPerSecond;  // beside the steps
  const double decode = decoder_flops(pipeline.vae_config(), plan.rendered.height, plan.rendered.width) / flops_per_second;
  return {.text = plan.text.load_seconds + std::max(text, plan.text.stream_seconds),
          .steps = plan.transformer.load_seconds + std::max(steps, copies),
          .decode = plan.decoder.load_seconds + decode * plan.decoder.strip_work};
}

double nominal_flops(Device device, DType dtype) {
  constexpr double kCpu = 0.3e12, kGpu16 = 400e12, kGpu32 = 40e12;
  if (device.is_cpu()) return kCpu;
  return dtype == DType::kF32 ? kGpu32 : kGpu16;
}

}  // namespace linea
