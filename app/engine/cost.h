// app/engine/cost.h: arithmetic that a picture takes, from the configurations: the floor that measured times are held against.
//
// FLOPs are 2 × multiply-adds of matrix products, convolutions and attention; element-wise work is not counted.
#pragma once

#include "dit/config.h"
#include "dit/pipeline/pipeline.h"
#include "textenc/gemma2_config.h"
#include "vae/config.h"

namespace linea {

// One text of `tokens` through the encoder's layers.
double text_flops(const Gemma2Config& config, int64_t tokens);

// One denoising step of `batch` members on a grid of h × w patches. Keys and values of the text are made once a call and do not count.
double transformer_step_flops(const SanaConfig& config, int64_t height, int64_t width, int64_t text_tokens, int64_t batch);

// Decoding a picture of height × width pixels. The enlarging convolutions count as what they need (four 2×2 convolutions of the small map).
double decoder_flops(const DcAeConfig& config, int64_t height, int64_t width);

// FLOPs of one picture: steps and decoder, with a prompt of usual length.
double picture_flops(const SanaPipeline& pipeline, const PictureRequest& request);

// Seconds of one picture made by a plan, by stage. `flops_per_second`: measured, or nominal_flops of the device.
struct StageSeconds {
  double text = 0, steps = 0, decode = 0;
  double whole() const { return text + steps + decode; }
};
StageSeconds expected_seconds(const SanaPipeline& pipeline, const PictureRequest& request, const MemoryPlan& plan, double flops_per_second);
double nominal_flops(Device device, DType dtype);  // of products, for a device that nothing was measured on

}  // namespace linea
