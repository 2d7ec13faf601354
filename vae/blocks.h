// vae/blocks.h: the building blocks of DC-AE (arXiv 2410.10733, §3), on whole maps or on strips of rows.
//
// A strip knows where it lies in its map. At the map's own edges convolutions pad with zeros; at an inner edge there is nothing to pad
// with, so a k×k convolution gives (k-1)/2 rows fewer there. A strip that starts with enough rows of halo thus ends with exactly the rows
// wanted, each computed from the same values in the same order as in the whole map. Strips have batch 1.
#pragma once

#include <vector>

#include "kernels/glu_mbconv.h"
#include "kernels/joined_linear.h"
#include "vae/config.h"

namespace linea {

struct RowStrip {
  Tensor map;      // [B, rows, W, C]
  int64_t first;   // the map's row that map[0] is
  int64_t height;  // rows of the whole map

  int64_t rows() const { return map.dim(1); }
  int64_t end() const { return first + rows(); }
  bool at_top() const { return first == 0; }
  bool at_bottom() const { return end() == height; }
  // Rows [from, to) of the whole map.
  RowStrip narrow(int64_t from, int64_t to) const { return {map.slice(1, from - first, to - from), from, height}; }
  // Without `margin` rows at each inner edge.
  RowStrip shrink(int64_t margin) const { return narrow(at_top() ? 0 : first + margin, at_bottom() ? height : end() - margin); }
  static RowStrip whole(const Tensor& map) { return {map, 0, map.dim(1)}; }
};

struct ConvLayer {
  Weight weight;
  Tensor bias;
};

struct DcNormLayer {
  Tensor weight, bias;
};

struct DcResidualBlock {
  ConvLayer conv1, conv2;  // conv2's bias exists only where a batch norm was folded into it
  DcNormLayer norm;        // undefined there
  Activation activation = Activation::kSilu;
};

struct DcAttentionScale {
  Tensor depthwise;  // [k, k, 3C]
  Tensor grouped;    // [3C, d]
};

struct DcEfficientVitBlock {
  JoinedLinear qkv;
  Weight to_out;
  Tensor to_out_bias;  // of a folded batch norm
  std::vector<DcAttentionScale> scales;
  DcNormLayer norm_out;
  GluMbConv feed_forward;
  DcNormLayer feed_forward_norm;
  int64_t head_dim = 32;
};

ConvLayer load_conv(const WeightLoader& w, const std::string& name, int64_t out, int64_t in);
DcNormLayer load_norm(const WeightLoader& w, const std::string& name, int64_t channels);
DcResidualBlock load_residual_block(const WeightLoader& w, const DcStage& stage);
DcEfficientVitBlock load_efficient_vit_block(const WeightLoader& w, const DcStage& stage, int64_t head_dim);

// x ← x + norm(conv2(act(conv1(x)))), in place; gives the strip without the two rows that each inner edge loses.
RowStrip residual_block(Context& ctx, const DcResidualBlock& w, const RowStrip& x);

// x ← x + attention(x);  x ← x + norm(GLUMBConv(x)), in place. Global: whole maps only.
void efficient_vit_block(Context& ctx, const DcEfficientVitBlock& w, const Tensor& x);

// 3×3 convolution into new memory.
RowStrip conv3x3(Context& ctx, const ConvLayer& w, const RowStrip& x, Activation activation = Activation::kNone);

// To half and to twice the resolution, with the averaging or repeating shortcut unless told otherwise.
RowStrip downsample(Context& ctx, const ConvLayer& w, const RowStrip& x, int64_t channels, bool pixel_unshuffle, bool shortcut);
RowStrip upsample(Context& ctx, const ConvLayer& w, const RowStrip& x, int64_t channels, bool pixel_shuffle, bool shortcut);

}  // namespace linea
