// kernels/bench/sana_cases.h: the op calls of SANA's models, by shape.
#pragma once

#include "kernels/bench/bench.h"

namespace linea::bench {

// The calls of one denoising step of a transformer (keys and values of the text are made once per prompt and do not count).
struct TransformerShape {
  int64_t layers, dim, heads, cross_heads, hidden;  // hidden: of the gated convolution, half of its width
  int64_t height, width, text_tokens, batch;
};
inline constexpr TransformerShape kSana600M1024 = {28, 1152, 36, 16, 2880, 32, 32, 300, 2};
inline constexpr TransformerShape kSana1600M1024 = {20, 2240, 70, 20, 5600, 32, 32, 300, 2};
inline constexpr TransformerShape kBuiltIn512 = {12, 256, 8, 8, 640, 16, 16, 64, 2};

std::vector<Case> transformer_step(Context& ctx, const TransformerShape& shape);

// The convolutions, norms and attention of a decoder that ends at `size`² pixels with `channels[i]` channels at size / 2^i, and its
// convolution to pixels. Batch 1.
struct DecoderShape {
  int64_t size;
  std::vector<int64_t> channels;
  int attention_from;  // stages from here on have attention blocks instead of residual blocks
  int blocks;          // of each stage
};
DecoderShape built_in_decoder();  // 512²
DecoderShape dc_ae_decoder(int64_t size);
std::vector<Case> decoder_picture(Context& ctx, const DecoderShape& shape);

}  // namespace linea::bench
