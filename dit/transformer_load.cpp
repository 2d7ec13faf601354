// The checkpoint's names and shapes of a SANA transformer, in one place.
#include <algorithm>
#include <cstring>

#include "dit/transformer.h"
#include "kernels/backend.h"
#include "kernels/weight_loader.h"

namespace linea {
namespace {

LinearLayer load_linear(const WeightLoader& w, const std::string& name, int64_t out, int64_t in, bool bias = true) {
  return {w.linear(name + ".weight", out, in), bias ? w.vector(name + ".bias", {out}) : Tensor()};
}

SanaBlock load_block(const WeightLoader& w, const SanaConfig& c) {
  const int64_t D = c.dim(), H = c.hidden();
  SanaBlock block;
  SanaSelfAttention& self = block.self_attention;
  self.qkv = JoinedLinear::load(w, {"attn1.to_q", "attn1.to_k", "attn1.to_v"}, {D, D, D}, D, c.attention_bias);
  self.out = load_linear(w, "attn1.to_out.0", D, D);

  SanaCrossAttention& cross = block.cross_attention;
  cross.q = load_linear(w, "attn2.to_q", D, D);
  cross.out = load_linear(w, "attn2.to_out.0", D, D);

  if (c.qk_norm) {
    self.norm_q = w.vector("attn1.norm_q.weight", {D});
    self.norm_k = w.vector("attn1.norm_k.weight", {D});
    cross.norm_q = w.vector("attn2.norm_q.weight", {D});
  }

  block.feed_forward = GluMbConv::load(w.scope("ff"), D, H);
  return block;
}

// [blocks, 6, D], one block after the other.
Tensor load_block_tables(const WeightLoader& w, const SanaConfig& c) {
  Tensor tables({c.num_layers, 6, c.dim()}, DType::kF32);
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const std::string name = w.prefix() + "transformer_blocks." + std::to_string(i) + ".scale_shift_table";
    const Tensor table = w.checkpoint().load(name, {6, c.dim()}, DType::kF32);
    std::memcpy(tables.select(0, i).raw(), table.raw(), static_cast<size_t>(table.bytes()));
  }
  return tables.to(w.context().backend->device());
}

SanaTextLayer load_text_layer(const WeightLoader& w, const SanaConfig& c) {
  const int64_t D = c.dim();
  return {load_linear(w, "attn2.to_k", D, D), load_linear(w, "attn2.to_v", D, D),
          c.qk_norm ? w.vector("attn2.norm_k.weight", {D}) : Tensor()};
}

// A convolution whose stride is its kernel is a matrix product on patches in the order of pixel_unshuffle: (channel, row, column).
LinearLayer load_patch_embed(const WeightLoader& w, const SanaConfig& c) {
  const int64_t p = c.patch_size, in = c.in_channels * p * p;
  const Tensor filters = w.checkpoint().load(w.prefix() + "patch_embed.proj.weight", {c.dim(), c.in_channels, p, p}, w.context().dtype);
  return {prepare_linear(w.context(), filters.reshape({c.dim(), in})), w.vector("patch_embed.proj.bias", {c.dim()})};
}

// The checkpoint orders the output of a patch (row, column, channel); pixel_shuffle wants (channel, row, column).
Tensor reorder_patch_rows(const Tensor& rows, int64_t channels, int64_t p) {
  if (p == 1) return rows;
  Tensor result(rows.shape(), rows.dtype());
  const size_t row_bytes = static_cast<size_t>(rows.bytes() / rows.dim(0));
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < p * p; ++i) {
      std::memcpy(static_cast<char*>(result.raw()) + static_cast<size_t>(c * p * p + i) * row_bytes,
                  static_cast<const char*>(rows.raw()) + static_cast<size_t>(i * channels + c) * row_bytes, row_bytes);
    }
  }
  return result;
}

LinearLayer load_proj_out(const WeightLoader& w, const SanaConfig& c) {
  const int64_t p = c.patch_size, out = p * p * c.out_channels;
  const Tensor weight = w.checkpoint().load(w.prefix() + "proj_out.weight", {out, c.dim()}, w.context().dtype);
  const Tensor bias = w.checkpoint().load(w.prefix() + "proj_out.bias", {out}, DType::kF32);
  return {prepare_linear(w.context(), reorder_patch_rows(weight, c.out_channels, p)),
          reorder_patch_rows(bias, c.out_channels, p).to(w.context().arena->device())};
}

SanaTimeEmbedding load_time_embedding(const WeightLoader& w, const SanaConfig& c) {
  constexpr int64_t kSinusoids = 256;
  const int64_t D = c.dim();
  SanaTimeEmbedding time;
  // Models with a guidance input name the layers one level higher.
  const std::string timestep = c.guidance_embeds ? "timestep_embedder" : "emb.timestep_embedder";
  time.timestep_1 = load_linear(w, timestep + ".linear_1", D, kSinusoids);
  time.timestep_2 = load_linear(w, timestep + ".linear_2", D, D);
  if (c.guidance_embeds) {
    time.guidance_1 = load_linear(w, "guidance_embedder.linear_1", D, kSinusoids);
    time.guidance_2 = load_linear(w, "guidance_embedder.linear_2", D, D);
  }
  time.modulation = load_linear(w, "linear", 6 * D, D);
  return time;
}

}  // namespace

SanaTransformer SanaTransformer::load(Context& ctx, const Checkpoint& checkpoint, const SanaConfig& config, int64_t resident) {
  const WeightLoader w(ctx, checkpoint);
  const int64_t D = config.dim();
  SanaTransformer model;
  model.config_ = config;
  model.patch_embed_ = load_patch_embed(w, config);
  model.time_ = load_time_embedding(w.scope("time_embed"), config);
  model.caption_1_ = load_linear(w, "caption_projection.linear_1", D, config.caption_channels);
  model.caption_2_ = load_linear(w, "caption_projection.linear_2", D, D);
  model.caption_norm_ = w.vector("caption_norm.weight", {D});
  const auto layers = static_cast<size_t>(config.num_layers);
  const size_t kept = resident == kAllLayers ? layers : static_cast<size_t>(std::clamp<int64_t>(resident, 0, config.num_layers));
  const auto block = [&](size_t i) { return w.scope("transformer_blocks." + std::to_string(i)); };
  // What comes from a file when its turn comes stays as it lies there.
  const auto block_of = [&](size_t i, bool stays) { return load_block(stays ? block(i).for_many_rows() : block(i), config); };
  model.blocks_.load(ctx, layers, kept, block_of);
  model.text_layers_.load(ctx, layers, kept, [&](size_t i, bool) { return load_text_layer(block(i), config); });
  model.block_tables_ = load_block_tables(w, config);
  model.scale_shift_table_ = w.vector("scale_shift_table", {2, D});
  model.proj_out_ = load_proj_out(w, config);
  checkpoint.check_all_used({"pos_embed", "patch_embed.pos_embed"});
  return model;
}

}  // namespace linea
