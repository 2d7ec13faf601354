#include "dit/transformer.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace linea {
namespace {

constexpr float kQkNormEps = 1e-5f;
constexpr float kCaptionNormEps = 1e-5f;

// y = W x + b of rows, in the context's type.
Tensor apply(Context& ctx, const LinearLayer& layer, const Tensor& x, Activation activation = Activation::kNone) {
  Shape shape = x.shape();
  shape[-1] = layer.weight.shape[0];
  const Tensor y = ctx.allocate(shape);
  linear(ctx, x, layer.weight, y, {.bias = layer.bias, .activation = activation});
  return y;
}

void tap(Context& ctx, const std::string& name, const Tensor& value) {
  if (ctx.tap && !ctx.planning()) ctx.tap(name, value);
}

// [cos(t f), sin(t f)], f_j = 10000^(-j/half): cosines first.
void sinusoids(float t, std::span<float> row) {
  const size_t half = row.size() / 2;
  for (size_t j = 0; j < half; ++j) {
    const float frequency = std::exp(static_cast<float>(-std::log(10000.0)) * static_cast<float>(j) / static_cast<float>(half));
    row[j] = std::cos(t * frequency);
    row[half + j] = std::sin(t * frequency);
  }
}

}  // namespace

SanaTransformer::Text SanaTransformer::encode_text(Context& ctx, const Tensor& embeddings, std::vector<int64_t> offsets) const {
  const int64_t L = embeddings.rows(), heads = config_.num_cross_attention_heads, width = config_.cross_attention_head_dim;
  Text text;
  text.offsets = std::move(offsets);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    text.keys.push_back(ctx.allocate({L, heads, width}));
    text.values.push_back(ctx.allocate({L, heads, width}));
    text.value_bounds.push_back(ctx.allocate({static_cast<int64_t>(text.offsets.size()) - 1, kValueBoundParts}, DType::kF32));
  }
  const Arena::Scope scope(*ctx.arena);
  const Tensor e = ctx.allocate({1, L, embeddings.dim(-1)});  // one member, whose bits do not depend on how the product was tuned
  cast(ctx, embeddings.reshape(e.shape()), e);
  const Tensor caption = apply(ctx, caption_2_, apply(ctx, caption_1_, e, Activation::kGeluTanh));
  rms_norm(ctx, caption, caption_norm_, caption, {.eps = kCaptionNormEps});
  tap(ctx, "caption", caption);

  LayerStore<SanaTextLayer>::Pass layers(ctx, text_layers_, /*cycles=*/false);
  for (size_t i = 0; i < text_layers_.size(); ++i) {
    const SanaTextLayer& w = layers[i];
    const Tensor k = text.keys[i].reshape({1, L, config_.dim()}), v = text.values[i].reshape({1, L, config_.dim()});
    linear(ctx, caption, w.k.weight, k, {.bias = w.k.bias});
    linear(ctx, caption, w.v.weight, v, {.bias = w.v.bias});
    if (w.norm_k.defined()) rms_norm(ctx, k, w.norm_k, k, {.eps = kQkNormEps});
    if (w.v.weight.data.dtype() == DType::kF8E4M3 && width % 8 == 0) {
      value_bounds(ctx, text.values[i], text.offsets, text.value_bounds[i]);
    } else {
      text.value_bounds[i] = {};
    }
  }
  return text;
}

// Channels [0, D/2) encode the column, [D/2, D) the row, each half as [sin, cos] of coordinate · 10000^(-j/(D/4)). Any grid is stretched
// onto the range that the native size has.
Tensor SanaTransformer::positional_table(Context& ctx, int64_t height, int64_t width) const {
  if (!config_.interpolation_scale) return {};
  const int64_t D = config_.dim(), quarter = D / 4, tokens = height * width;
  const float base = static_cast<float>(config_.sample_size / config_.patch_size);
  const float scale = static_cast<float>(*config_.interpolation_scale);
  std::vector<double> frequencies(static_cast<size_t>(quarter));
  for (int64_t j = 0; j < quarter; ++j) {
    frequencies[static_cast<size_t>(j)] = std::pow(10000.0, -static_cast<double>(j) / static_cast<double>(quarter));
  }
  const Tensor table = ctx.allocate({tokens, D}, DType::kF32);
  // Sines, then cosines, of every coordinate.
  const auto halves_of = [&](int64_t count) {
    std::vector<float> halves(static_cast<size_t>(count * D / 2));
    for (int64_t i = 0; i < count; ++i) {
      const float coordinate = static_cast<float>(i) / (static_cast<float>(count) / base) / scale;
      float* half = halves.data() + i * D / 2;
      for (int64_t j = 0; j < quarter; ++j) {
        const double angle = static_cast<double>(coordinate) * frequencies[static_cast<size_t>(j)];
        half[j] = static_cast<float>(std::sin(angle));
        half[quarter + j] = static_cast<float>(std::cos(angle));
      }
    }
    return halves;
  };
  // Half of the row of every token that has a coordinate is that coordinate's.
  const auto fill_half = [&](int64_t first_channel, int64_t count, const auto& coordinate_of) {
    const Arena::Scope scope(*ctx.arena);
    const Tensor halves = ctx.allocate({count, D / 2}, DType::kF32);
    if (!ctx.planning()) upload(ctx, halves_of(count), halves);
    std::vector<int32_t> coordinates(static_cast<size_t>(tokens));
    for (int64_t t = 0; t < tokens; ++t) coordinates[static_cast<size_t>(t)] = static_cast<int32_t>(coordinate_of(t));
    embedding_lookup(ctx, halves, coordinates, table.slice(1, first_channel, D / 2));
  };
  fill_half(0, width, [&](int64_t token) { return token % width; });
  fill_half(D / 2, height, [&](int64_t token) { return token / width; });
  return table;
}

void SanaTransformer::forward(Context& ctx, const Inputs& in, const Tensor& velocity) const {
  const Arena::Scope scope(*ctx.arena);
  const int64_t p = config_.patch_size;
  const Grid grid{in.latents.dim(1) / p, in.latents.dim(2) / p};
  Tensor times = in.times;
  if (!times.defined()) {
    times = ctx.allocate(times_shape(static_cast<int64_t>(in.timesteps.size())), DType::kF32);
    embed_times(ctx, in.timesteps, in.guidance, times);
  }

  const int64_t B = velocity.dim(0);
  int64_t distinct = in.latents.dim(0);
  LINEA_ASSERT(in.latents.dim(3) == config_.in_channels && (times.dim(0) == 1 || (times.dim(0) == B && distinct == B)));
  LINEA_ASSERT(distinct == B || distinct == 1);
  const Tensor x = ctx.allocate({B, grid.height * grid.width, config_.dim()});
  embed_patches(ctx, in.latents, in.positions, x.slice(0, 0, distinct));
  const Tensor modulations = modulate_blocks(ctx, times);
  std::optional<Blocks::Pass> own;
  Blocks::Pass& blocks = in.blocks ? *in.blocks : own.emplace(ctx, blocks_, /*cycles=*/false);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    ctx.cancel.throw_if_cancelled();
    forward_block(ctx, blocks[i], i, modulations.select(1, static_cast<int64_t>(i)), *in.text, grid, x, distinct);
    distinct = B;
    tap(ctx, "transformer_blocks." + std::to_string(i), x);
  }
  project_out(ctx, x, times, velocity);
}

void SanaTransformer::embed_patches(Context& ctx, const Tensor& latents, const Tensor& positions, const Tensor& x) const {
  const int64_t B = latents.dim(0), p = config_.patch_size, h = latents.dim(1) / p, w = latents.dim(2) / p;
  const Arena::Scope scope(*ctx.arena);
  Tensor patches = latents;
  if (p == 2) {
    patches = ctx.allocate({B, h, w, config_.in_channels * 4});
    pixel_unshuffle(ctx, latents, patches);
  }
  linear(ctx, patches, patch_embed_.weight, x, {.bias = patch_embed_.bias});
  if (positions.defined()) add_rows(ctx, x, positions, x);
}

void SanaTransformer::embed_times(Context& ctx, std::span<const float> timesteps, float guidance, const Tensor& times) const {
  const int64_t T = static_cast<int64_t>(timesteps.size()), D = config_.dim();
  LINEA_ASSERT(times.shape() == times_shape(T));
  const Arena::Scope scope(*ctx.arena);
  const auto embed = [&](std::span<const float> scalars, const LinearLayer& layer_1, const LinearLayer& layer_2) {
    std::vector<float> rows(scalars.size() * kSinusoids);
    for (size_t i = 0; i < scalars.size(); ++i) sinusoids(scalars[i], std::span(rows).subspan(i * kSinusoids, kSinusoids));
    const Tensor waves = ctx.allocate({T, 1, kSinusoids}, DType::kF32), s = ctx.allocate(waves.shape());  // a row is a member of the batch
    upload(ctx, rows, waves);
    cast(ctx, waves, s);
    return apply(ctx, layer_2, apply(ctx, layer_1, s, Activation::kSilu));
  };
  const Tensor emb = embed(timesteps, time_.timestep_1, time_.timestep_2);
  if (config_.guidance_embeds) {
    const std::vector<float> scales(timesteps.size(), guidance * static_cast<float>(config_.guidance_embeds_scale));
    add(ctx, emb, embed(scales, time_.guidance_1, time_.guidance_2), emb);
  }
  cast(ctx, emb, times.slice(1, kModulations, 1));
  activate(ctx, emb, emb, Activation::kSilu);
  cast(ctx, apply(ctx, time_.modulation, emb), times.slice(1, 0, kModulations).reshape({T, 1, kModulations * D}));
}

// One op for a row of times, where every block would wait for one of its own.
Tensor SanaTransformer::modulate_blocks(Context& ctx, const Tensor& times) const {
  const int64_t T = times.dim(0);
  const Shape& tables = block_tables_.shape();
  const Tensor modulations = ctx.allocate({T, tables[0], tables[1], tables[2]}, DType::kF32);
  for (int64_t t = 0; t < T; ++t) {
    add_rows(ctx, block_tables_, times.select(0, t).slice(0, 0, kModulations), modulations.select(0, t));
  }
  return modulations;
}

void SanaTransformer::forward_block(Context& ctx, const SanaBlock& w, size_t index, const Tensor& m, const Text& text, Grid grid,
                                    const Tensor& x, int64_t distinct) const {
  const Arena::Scope scope(*ctx.arena);
  const int64_t B = x.dim(0), D = config_.dim();
  const Tensor shift_msa = m.select(1, 0), scale_msa = m.select(1, 1), gate_msa = m.select(1, 2);
  const Tensor shift_mlp = m.select(1, 3), scale_mlp = m.select(1, 4), gate_mlp = m.select(1, 5);
  const Tensor a = ctx.allocate(x.shape());

  // x ← x + g₁ ⊙ LinearAttention( LN(x) ⊙ (1 + α₁) + β₁ )
  const Tensor first = x.slice(0, 0, distinct), a_first = a.slice(0, 0, distinct);
  ProductRows normed = rows_for(w.self_attention.qkv.parts[0].weight, a_first);
  modulated_layer_norm(ctx, first, scale_msa, shift_msa, normed, config_.norm_eps);
  self_attention(ctx, w.self_attention, normed, gate_msa, a_first, first);
  for (int64_t b = distinct; b < B; b += distinct) cast(ctx, first, x.slice(0, b, distinct));

  // x ← x + CrossAttention(x, text)          neither norm nor gate here
  cross_attention(ctx, w.cross_attention, text, index, x);

  // x ← x + g₂ ⊙ GLUMBConv( LN(x) ⊙ (1 + α₂) + β₂ )
  normed = rows_for(w.feed_forward.inverted, a);
  modulated_layer_norm(ctx, x, scale_mlp, shift_mlp, normed, config_.norm_eps);
  const Shape map{B, grid.height, grid.width, D};
  glu_mbconv(ctx, w.feed_forward, normed.reshape(map), x.reshape(map), {.residual = x.reshape(map), .gate = gate_mlp});
}

// `a` is where the rows that were normed may lie, and takes the attention's result after them.
void SanaTransformer::self_attention(Context& ctx, const SanaSelfAttention& w, const ProductRows& normed, const Tensor& gate,
                                     const Tensor& a, const Tensor& x) const {
  const Arena::Scope scope(*ctx.arena);
  const Shape heads{a.dim(0), a.dim(1), config_.num_attention_heads, config_.attention_head_dim};
  const int64_t D = config_.dim();
  const Tensor qkv = ctx.allocate({a.dim(0), a.dim(1), 3 * D});
  joined_linear(ctx, normed, w.qkv, qkv);
  const Tensor q = qkv.slice(2, 0, D), k = qkv.slice(2, D, D), v = qkv.slice(2, 2 * D, D);
  if (w.norm_q.defined()) {  // across all heads, before the split
    rms_norm(ctx, q, w.norm_q, q, {.eps = kQkNormEps});
    rms_norm(ctx, k, w.norm_k, k, {.eps = kQkNormEps});
  }
  const ProductRows o = rows_for(w.out.weight, a);
  relu_linear_attention(ctx, q.reshape(heads), k.reshape(heads), v.reshape(heads), {o.values.reshape(heads), o.scales});
  linear(ctx, o.values, w.out.weight, x, {.bias = w.out.bias, .residual = x, .gate = gate, .x_scales = o.scales});
}

void SanaTransformer::cross_attention(Context& ctx, const SanaCrossAttention& w, const Text& text, size_t index, const Tensor& x) const {
  const Arena::Scope scope(*ctx.arena);
  const Shape heads{x.dim(0), x.dim(1), config_.num_cross_attention_heads, config_.cross_attention_head_dim};
  const Tensor q = apply(ctx, w.q, x);
  if (w.norm_q.defined()) rms_norm(ctx, q, w.norm_q, q, {.eps = kQkNormEps});
  const ProductRows o = rows_for(w.out.weight, ctx.allocate(x.shape()));
  const float scale = 1.0f / std::sqrt(static_cast<float>(config_.cross_attention_head_dim));
  softmax_attention(ctx, q.reshape(heads), text.keys[index], text.values[index], {o.values.reshape(heads), o.scales},
                    {.scale = scale, .key_offsets = text.offsets, .value_bounds = text.value_bounds[index]});
  linear(ctx, o.values, w.out.weight, x, {.bias = w.out.bias, .residual = x, .x_scales = o.scales});
}

void SanaTransformer::project_out(Context& ctx, const Tensor& x, const Tensor& times, const Tensor& velocity) const {
  const Arena::Scope scope(*ctx.arena);
  const int64_t D = config_.dim(), p = config_.patch_size;
  // Rows shift, scale: the table plus the raw embedding, without SiLU.
  const int64_t T = times.dim(0);
  const Tensor m = ctx.allocate({T, 2, D}, DType::kF32);
  for (int64_t t = 0; t < T; ++t) {
    add_rows(ctx, scale_shift_table_.reshape({2, 1, D}), times.select(0, t).select(0, kModulations), m.select(0, t).reshape({2, 1, D}));
  }
  const Tensor a = ctx.allocate(x.shape());
  modulated_layer_norm(ctx, x, m.select(1, 1), m.select(1, 0), a, config_.norm_eps);
  if (p == 1) {
    linear(ctx, a, proj_out_.weight, velocity, {.bias = proj_out_.bias});
    return;
  }
  const Tensor patches = ctx.allocate({x.dim(0), velocity.dim(1) / p, velocity.dim(2) / p, p * p * config_.out_channels});
  linear(ctx, a, proj_out_.weight, patches, {.bias = proj_out_.bias});
  pixel_shuffle(ctx, patches, velocity);
}

}  // namespace linea
