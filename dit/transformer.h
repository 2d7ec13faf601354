// dit/transformer.h: the SANA linear diffusion transformer (arXiv 2410.10629, 2501.18427), a velocity model on DC-AE latents.
//
// Reference: SanaTransformer2DModel of diffusers; golden tests in tests/dit. Weights are read-only after load and may be shared by threads,
// each with its own Context. Blocks that the device has no room for are streamed (kernels/weight_streaming.h).
#pragma once

#include <span>
#include <vector>

#include "core/checkpoint.h"
#include "dit/config.h"
#include "kernels/glu_mbconv.h"
#include "kernels/joined_linear.h"
#include "kernels/weight_streaming.h"

namespace linea {

struct LinearLayer {
  Weight weight;
  Tensor bias;  // f32, may be undefined
};

struct SanaSelfAttention {
  JoinedLinear qkv;
  LinearLayer out;
  Tensor norm_q, norm_k;  // [D], undefined without qk_norm
};

struct SanaCrossAttention {
  LinearLayer q, out;
  Tensor norm_q;
};

// What makes a block's keys and values of the text.
struct SanaTextLayer {
  LinearLayer k, v;
  Tensor norm_k;
};

struct SanaBlock {
  SanaSelfAttention self_attention;
  SanaCrossAttention cross_attention;
  GluMbConv feed_forward;
};

template <> struct LayerTensors<SanaTextLayer> {
  static void visit(SanaTextLayer& layer, const auto& visit) {
    for (LinearLayer* linear : {&layer.k, &layer.v}) visit(linear->weight), visit(linear->bias);
    visit(layer.norm_k);
  }
};

template <> struct LayerTensors<SanaBlock> {
  static void visit(SanaBlock& block, const auto& visit) {
    for (JoinedLinear::Part& part : block.self_attention.qkv.parts) visit(part.weight), visit(part.bias);
    for (LinearLayer* linear : {&block.self_attention.out, &block.cross_attention.q, &block.cross_attention.out}) {
      visit(linear->weight), visit(linear->bias);
    }
    for (Tensor* norm : {&block.self_attention.norm_q, &block.self_attention.norm_k, &block.cross_attention.norm_q}) visit(*norm);
    GluMbConv& ff = block.feed_forward;
    visit(ff.inverted), visit(ff.inverted_bias), visit(ff.depthwise), visit(ff.depthwise_bias), visit(ff.point);
  }
};

struct SanaTimeEmbedding {
  LinearLayer timestep_1, timestep_2, guidance_1, guidance_2, modulation;
};

class SanaTransformer {
 public:
  static constexpr int64_t kAllLayers = -1;
  // `resident`: blocks that stay on the device; the others are streamed.
  static SanaTransformer load(Context& ctx, const Checkpoint& checkpoint, const SanaConfig& config, int64_t resident = kAllLayers);

  // Keys and values of every block's cross attention: they depend on the prompt alone, so they are computed once a prompt.
  struct Text {
    std::vector<int64_t> offsets;      // batch member b owns rows [offsets[b], offsets[b+1])
    std::vector<Tensor> keys, values;  // per block [L, heads, head_dim]
    std::vector<Tensor> value_bounds;  // per block, of its values; undefined but for blocks in FP8
  };
  // embeddings [L, caption_channels]: the real (unmasked) rows of every batch member, one after the other. Dropping masked rows is exact:
  // their softmax weight underflows to zero in the reference.
  Text encode_text(Context& ctx, const Tensor& embeddings, std::vector<int64_t> offsets) const;

  // The fixed table of the 2K and 4K models for a grid of patches, [h·w, D] f32; undefined for models without one.
  Tensor positional_table(Context& ctx, int64_t height, int64_t width) const;

  // What the layers see of each time, and of the guidance scale in models with guidance_embeds, [times, 7, D] f32: six rows to which every
  // block adds its own table, and the embedding, for the output layer. timesteps: as the scheduler gives them, times timestep_scale. The
  // weights, a third of a block's, are read once for all of a picture's steps.
  Shape times_shape(int64_t count) const { return {count, kModulations + 1, config_.dim()}; }
  void embed_times(Context& ctx, std::span<const float> timesteps, float guidance, const Tensor& times) const;

  using Blocks = LayerStore<SanaBlock>;
  // A way through the blocks for many steps, so that the next step's first block is on its way while the last one computes. Takes the
  // slots of streamed blocks from ctx.arena.
  Blocks::Pass open_blocks(Context& ctx) const { return Blocks::Pass(ctx, blocks_, /*cycles=*/true); }
  bool is_streamed() const { return blocks_.streamed() > 0; }
  int64_t streamed_bytes() const { return static_cast<int64_t>(blocks_.streamed()) * blocks_.slot_bytes(); }  // of a step

  struct Inputs {
    Tensor latents;                      // [B, h, w, in_channels] of the context's type; [1, …] with one time: the same for all members
    std::span<const float> timesteps{};  // of every member or one for all, for embed_times, unless `times` is there
    float guidance = 0;
    const Text* text = nullptr;
    Tensor positions{};              // positional_table of the patch grid
    Tensor times{};                  // rows of embed_times: with them forward reads nothing of the host's, so that a step can be captured
    Blocks::Pass* blocks = nullptr;  // of open_blocks; null: this call's own
  };
  // velocity [B, h, w, out_channels] of the context's type: noise - data, to be integrated from sigma 1 to 0.
  void forward(Context& ctx, const Inputs& inputs, const Tensor& velocity) const;

  const SanaConfig& config() const { return config_; }

 private:
  static constexpr int64_t kSinusoids = 256, kModulations = 6;

  struct Grid {
    int64_t height, width;
  };
  // What the blocks multiply, add and gate with, [B or 1, blocks, 6, D] f32: rows shift, scale, gate of the attention, then of the
  // feed-forward.
  Tensor modulate_blocks(Context& ctx, const Tensor& times) const;
  void embed_patches(Context& ctx, const Tensor& latents, const Tensor& positions, const Tensor& x) const;
  // distinct: the members of x that there are before the cross attention, of which the others become copies.
  void forward_block(Context& ctx, const SanaBlock& w, size_t index, const Tensor& m, const Text& text, Grid grid, const Tensor& x,
                     int64_t distinct) const;
  void self_attention(Context& ctx, const SanaSelfAttention& w, const ProductRows& normed, const Tensor& gate, const Tensor& a,
                      const Tensor& x) const;
  void cross_attention(Context& ctx, const SanaCrossAttention& w, const Text& text, size_t index, const Tensor& x) const;
  void project_out(Context& ctx, const Tensor& x, const Tensor& times, const Tensor& velocity) const;

  SanaConfig config_;
  LinearLayer patch_embed_;  // [D, Cin·p·p]
  SanaTimeEmbedding time_;
  LinearLayer caption_1_, caption_2_;
  Tensor caption_norm_;
  Blocks blocks_;
  LayerStore<SanaTextLayer> text_layers_;
  Tensor block_tables_;       // [blocks, 6, D]: on the device whatever is streamed
  Tensor scale_shift_table_;  // [2, D]
  LinearLayer proj_out_;
};

}  // namespace linea
