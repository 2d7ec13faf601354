#include "vae/blocks.h"

#include <algorithm>
#include <cmath>

namespace linea {
namespace {

constexpr float kNormEps = 1e-5f;

Tensor rows_like(Context& ctx, const RowStrip& x, int64_t rows, int64_t width, int64_t channels) {
  return ctx.allocate({x.map.dim(0), rows, width, channels});
}

// Multiplies each output row of a filter bank and returns it in the context's type.
Tensor scale_outputs(const Tensor& filters, const std::vector<float>& factors) {
  Tensor scaled = Tensor(filters.shape(), DType::kF32);
  const int64_t inner = filters.elements() / filters.dim(0);
  const float* from = filters.data<float>();
  float* to = scaled.data<float>();
  for (int64_t o = 0; o < filters.dim(0); ++o) {
    for (int64_t i = 0; i < inner; ++i) to[o * inner + i] = from[o * inner + i] * factors[static_cast<size_t>(o)];
  }
  return scaled;
}

// A batch norm at inference is an affine map per channel, so it folds into the linear map before it: factor and offset of its output.
struct FoldedBatchNorm {
  std::vector<float> factor;
  Tensor offset;
};

FoldedBatchNorm fold_batch_norm(const WeightLoader& w, const std::string& name, int64_t channels) {
  const auto load = [&](const char* leaf) { return w.checkpoint().load(w.prefix() + name + "." + leaf, {channels}, DType::kF32); };
  const Tensor weight = load("weight"), bias = load("bias"), mean = load("running_mean"), variance = load("running_var");
  FoldedBatchNorm folded{{}, Tensor({channels}, DType::kF32)};
  for (int64_t c = 0; c < channels; ++c) {
    const float factor = weight.data<float>()[c] / std::sqrt(variance.data<float>()[c] + kNormEps);
    folded.factor.push_back(factor);
    folded.offset.data<float>()[c] = bias.data<float>()[c] - mean.data<float>()[c] * factor;
  }
  folded.offset = folded.offset.to(w.context().arena->device());
  return folded;
}

// [B, H, W, G·3·d] as one of q, k, v: groups of 3·d consecutive channels hold a query, a key and a value each, wherever the projections'
// own borders lie (this is how the weights were trained).
Tensor group_part(const Tensor& z, int64_t part, int64_t head_dim) {
  const int64_t groups = z.dim(3) / (3 * head_dim);
  return z.reshape({z.dim(0), z.dim(1) * z.dim(2), groups, 3, head_dim}).select(3, part);
}

void multiscale_attention(Context& ctx, const DcEfficientVitBlock& w, const Tensor& x) {
  const Arena::Scope scope(*ctx.arena);
  const int64_t B = x.dim(0), H = x.dim(1), W = x.dim(2), inner = w.qkv.outputs / 3, d = w.head_dim;
  const int64_t scales = 1 + static_cast<int64_t>(w.scales.size());
  const Tensor y = ctx.allocate({B, H, W, scales * inner});
  const Tensor z = ctx.allocate({B, H, W, 3 * inner});
  joined_linear(ctx, x, w.qkv, z);

  const auto attend = [&](const Tensor& qkv, int64_t scale) {
    const Tensor out = y.slice(3, scale * inner, inner).reshape({B, H * W, inner / d, d});
    relu_linear_attention(ctx, group_part(qkv, 0, d), group_part(qkv, 1, d), group_part(qkv, 2, d), out);
  };
  attend(z, 0);
  for (size_t i = 0; i < w.scales.size(); ++i) {
    const Arena::Scope scale_scope(*ctx.arena);
    const Tensor mixed = ctx.allocate(z.shape()), zi = ctx.allocate(z.shape());
    depthwise_conv2d(ctx, z, w.scales[i].depthwise, mixed);
    grouped_linear(ctx, mixed, w.scales[i].grouped, zi);
    attend(zi, static_cast<int64_t>(i) + 1);
  }
  if (!w.norm_out.weight.defined()) {
    linear(ctx, y, w.to_out, x, {.bias = w.to_out_bias, .residual = x});
    return;
  }
  const Tensor o = ctx.allocate(x.shape());
  linear(ctx, y, w.to_out, o);
  rms_norm(ctx, o, w.norm_out.weight, x, {.eps = kNormEps, .bias = w.norm_out.bias, .residual = x});
}

}  // namespace

ConvLayer load_conv(const WeightLoader& w, const std::string& name, int64_t out, int64_t in) {
  return {w.conv2d(name + ".weight", out, in, 3), w.vector(name + ".bias", {out})};
}

DcNormLayer load_norm(const WeightLoader& w, const std::string& name, int64_t channels) {
  return {w.vector(name + ".weight", {channels}), w.vector(name + ".bias", {channels})};
}

DcResidualBlock load_residual_block(const WeightLoader& w, const DcStage& stage) {
  const int64_t C = stage.channels;
  DcResidualBlock block;
  block.activation = stage.activation;
  block.conv1 = load_conv(w, "conv1", C, C);
  if (stage.norm == DcNorm::kRms) {
    block.conv2 = {w.conv2d("conv2.weight", C, C, 3), {}};
    block.norm = load_norm(w, "norm", C);
    return block;
  }
  Context& ctx = w.context();
  const FoldedBatchNorm norm = fold_batch_norm(w, "norm", C);
  const Tensor filters = w.checkpoint().load(w.prefix() + "conv2.weight", {C, C, 3, 3}, DType::kF32);
  block.conv2 = {prepare_conv2d(ctx, scale_outputs(filters, norm.factor).to(ctx.dtype)), norm.offset};
  return block;
}

DcEfficientVitBlock load_efficient_vit_block(const WeightLoader& w, const DcStage& stage, int64_t head_dim) {
  const int64_t C = stage.channels, groups = C / head_dim, inner = groups * head_dim;
  const int64_t scales = 1 + static_cast<int64_t>(stage.multiscales.size());
  Context& ctx = w.context();
  DcEfficientVitBlock block;
  block.head_dim = head_dim;
  block.qkv = JoinedLinear::load(w, {"attn.to_q", "attn.to_k", "attn.to_v"}, {inner, inner, inner}, C);
  for (size_t i = 0; i < stage.multiscales.size(); ++i) {
    const WeightLoader scale = w.scope("attn.to_qkv_multiscale." + std::to_string(i));
    const Tensor grouped = w.checkpoint().load(scale.prefix() + "proj_out.weight", {3 * inner, head_dim, 1, 1}, DType::kF32);
    block.scales.push_back({scale.depthwise("proj_in.weight", 3 * inner, stage.multiscales[i]),
                            grouped.reshape({3 * inner, head_dim}).to(ctx.arena->device())});
  }
  if (stage.norm == DcNorm::kRms) {
    block.to_out = w.linear("attn.to_out.weight", C, scales * inner);
    block.norm_out = load_norm(w, "attn.norm_out", C);
  } else {
    const FoldedBatchNorm norm = fold_batch_norm(w, "attn.norm_out", C);
    const Tensor to_out = w.checkpoint().load(w.prefix() + "attn.to_out.weight", {C, scales * inner}, DType::kF32);
    block.to_out = prepare_linear(ctx, scale_outputs(to_out, norm.factor).to(ctx.dtype));
    block.to_out_bias = norm.offset;
  }
  block.feed_forward = GluMbConv::load(w.scope("conv_out"), C, 4 * C);
  block.feed_forward_norm = load_norm(w, "conv_out.norm", C);
  return block;
}

RowStrip residual_block(Context& ctx, const DcResidualBlock& w, const RowStrip& x) {
  const Arena::Scope scope(*ctx.arena);
  const RowStrip y = x.shrink(2);
  const RowStrip t = conv3x3(ctx, w.conv1, x, w.activation);
  if (!w.norm.weight.defined()) {
    conv2d(ctx, t.map, w.conv2.weight, y.map,
           {.bias = w.conv2.bias, .residual = y.map, .pad_top = t.at_top(), .pad_bottom = t.at_bottom(), .first_row = y.first});
    return y;
  }
  const RowStrip u = conv3x3(ctx, w.conv2, t);
  rms_norm(ctx, u.map, w.norm.weight, y.map, {.eps = kNormEps, .bias = w.norm.bias, .residual = y.map});
  return y;
}

void efficient_vit_block(Context& ctx, const DcEfficientVitBlock& w, const Tensor& x) {
  multiscale_attention(ctx, w, x);
  const Arena::Scope scope(*ctx.arena);
  const Tensor y = ctx.allocate(x.shape());
  glu_mbconv(ctx, w.feed_forward, x, y);
  rms_norm(ctx, y, w.feed_forward_norm.weight, x, {.eps = kNormEps, .bias = w.feed_forward_norm.bias, .residual = x});
}

RowStrip conv3x3(Context& ctx, const ConvLayer& w, const RowStrip& x, Activation activation) {
  const int64_t first = x.at_top() ? 0 : x.first + 1, end = x.at_bottom() ? x.height : x.end() - 1;
  const RowStrip y{rows_like(ctx, x, end - first, x.map.dim(2), w.weight.shape[0]), first, x.height};
  conv2d(ctx, x.map, w.weight, y.map,
         {.bias = w.bias, .activation = activation, .pad_top = x.at_top(), .pad_bottom = x.at_bottom(), .first_row = y.first});
  return y;
}

RowStrip downsample(Context& ctx, const ConvLayer& w, const RowStrip& x, int64_t channels, bool unshuffle, bool shortcut) {
  // Row r of the result reads rows 2r-1 … 2r+1 (stride 2), or 2r-1 … 2r+2 (stride 1, then unshuffled).
  const int64_t reach = unshuffle ? 2 : 1;
  const int64_t first = x.at_top() ? 0 : (x.first + 2) / 2, end = x.at_bottom() ? x.height / 2 : (x.end() - 1 - reach) / 2 + 1;
  const RowStrip y{rows_like(ctx, x, end - first, x.map.dim(2) / 2, channels), first, x.height / 2};
  const RowStrip input = x.narrow(x.at_top() ? 0 : 2 * first - 1, std::min(2 * (end - 1) + reach + 1, x.height));
  if (unshuffle) {
    const Arena::Scope scope(*ctx.arena);
    const RowStrip t = conv3x3(ctx, w, input);
    pixel_unshuffle(ctx, t.map, y.map);
  } else {
    conv2d(ctx, input.map, w.weight, y.map,
           {.bias = w.bias, .stride = 2, .pad_top = input.at_top(), .pad_bottom = 0, .first_row = y.first});
  }
  if (shortcut) add_downsample_shortcut(ctx, x.narrow(2 * first, 2 * end).map, y.map);
  return y;
}

RowStrip upsample(Context& ctx, const ConvLayer& w, const RowStrip& x, int64_t channels, bool shuffle, bool shortcut) {
  if (shuffle) {  // the convolution runs before the enlargement and costs one coarse row at an inner edge
    const RowStrip source = x.shrink(1);
    const RowStrip y{rows_like(ctx, x, 2 * source.rows(), 2 * x.map.dim(2), channels), 2 * source.first, 2 * x.height};
    const Arena::Scope scope(*ctx.arena);
    pixel_shuffle(ctx, conv3x3(ctx, w, x).map, y.map);
    if (shortcut) add_upsample_shortcut(ctx, source.map, y.map);
    return y;
  }
  // Rows of the enlarged map; those at inner edges stay unwritten by the convolution and are dropped at the end.
  const RowStrip y{rows_like(ctx, x, 2 * x.rows(), 2 * x.map.dim(2), channels), 2 * x.first, 2 * x.height};
  const RowStrip inside = y.shrink(1);
  conv2d(ctx, x.map, w.weight, inside.map,
         {.bias = w.bias, .upsample_nearest = true, .pad_top = x.at_top(), .pad_bottom = x.at_bottom(), .first_row = inside.first});
  if (shortcut) add_upsample_shortcut(ctx, x.map, y.map);
  return inside;
}

}  // namespace linea
