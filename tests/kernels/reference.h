// tests/kernels/reference.h: every op of kernels/ops.h in double, plain and obvious. Inputs of any float type and strides, results f64.
#pragma once

#include <vector>

#include "core/tensor.h"
#include "kernels/ops.h"

namespace linea::reference {

double activation(double x, Activation kind);

Tensor linear(const Tensor& x, const Tensor& w, const LinearArgs& args);
Tensor grouped_linear(const Tensor& x, const Tensor& w);
Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2dArgs& args);
Tensor depthwise_conv2d(const Tensor& x, const Tensor& w, const DepthwiseArgs& args);

Tensor modulated_layer_norm(const Tensor& x, const Tensor& scale, const Tensor& shift, double eps);
Tensor rms_norm(const Tensor& x, const Tensor& w, const RmsNormArgs& args);

Tensor relu_linear_attention(const Tensor& q, const Tensor& k, const Tensor& v, double eps);
Tensor softmax_attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args);
Tensor rotary_embedding(const Tensor& x, int64_t first_position, double theta);

Tensor embedding_lookup(const Tensor& table, const std::vector<int32_t>& ids, double scale);
Tensor activate(const Tensor& x, Activation kind);
Tensor multiply_activated(const Tensor& gate, const Tensor& up, Activation kind);
Tensor add(const Tensor& a, const Tensor& b);
Tensor add_rows(const Tensor& x, const Tensor& rows);

Tensor pixel_shuffle(const Tensor& x);
Tensor pixel_unshuffle(const Tensor& x);
// These return y after the addition.
Tensor add_downsample_shortcut(const Tensor& x, const Tensor& y);
Tensor add_upsample_shortcut(const Tensor& x, const Tensor& y);
Tensor add_channel_mean(const Tensor& x, const Tensor& y);
Tensor add_channel_repeat(const Tensor& x, const Tensor& y);

}  // namespace linea::reference
