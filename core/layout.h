// core/layout.h: channel-major (NCHW, the layout of files and of the reference's noise) to token-major (NHWC) on the host, and back.
#pragma once

#include "core/tensor.h"

namespace linea {

Tensor to_token_major(const Tensor& nchw);    // f32 [B, C, H, W] -> [B, H, W, C]
Tensor to_channel_major(const Tensor& nhwc);  // f32 [B, H, W, C] -> [B, C, H, W]

}  // namespace linea
