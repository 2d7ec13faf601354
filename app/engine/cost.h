// app/engine/cost.h: arithmetic that a picture takes, from the configurations: the floor that measured times are held against.
//
// FLOPs are 2 × multiply-adds of matrix products, convolutions and attention; element-wise work is not counted.
#pragma once

#include "dit/config.h"
#include "vae/config.h"

namespace linea {

// One denoising step of `batch` members on a grid of h × w patches. Keys and values of the text are made once a call and do not count.
double transformer_step_flops(const SanaConfig& config, int64_t height, int64_t width, int64_t text_tokens, int64_t batch);

// Decoding a picture of height × width pixels. The enlarging convolutions count as what they need (four 2×2 convolutions of the small map).
double decoder_flops(const DcAeConfig& config, int64_t height, int64_t width);

}  // namespace linea
