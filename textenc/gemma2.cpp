#include "textenc/gemma2.h"

#include <cmath>

#include "kernels/weight_loader.h"

namespace linea {
namespace {

Gemma2Layer load_layer(const WeightLoader& w, const Gemma2Config& c, int64_t window) {
  const int64_t D = c.hidden_size, I = c.intermediate_size, q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  Gemma2Layer layer;
  layer.input_norm = w.vector("input_layernorm.weight", {D});
  layer.q = w.linear("self_attn.q_proj.weight", q, D);
  layer.k = w.linear("self_attn.k_proj.weight", kv, D);
  layer.v = w.linear("self_attn.v_proj.weight", kv, D);
  layer.out = w.linear("self_attn.o_proj.weight", D, q);
  layer.post_attention_norm = w.vector("post_attention_layernorm.weight", {D});
  layer.pre_feedforward_norm = w.vector("pre_feedforward_layernorm.weight", {D});
  layer.gate = w.linear("mlp.gate_proj.weight", I, D);
  layer.up = w.linear("mlp.up_proj.weight", I, D);
  layer.down = w.linear("mlp.down_proj.weight", D, I);
  layer.post_feedforward_norm = w.vector("post_feedforward_layernorm.weight", {D});
  layer.window = window;
  return layer;
}

// √hidden as the reference has it: rounded to the type of the weights.
float embedding_scale(int64_t hidden, DType dtype) {
  const auto exact = static_cast<float>(std::sqrt(static_cast<double>(hidden)));
  if (dtype == DType::kBF16) return static_cast<float>(BFloat16(exact));
  if (dtype == DType::kF16) return static_cast<float>(Float16(exact));
  return exact;
}

}  // namespace

Gemma2 Gemma2::load(Context& ctx, const Checkpoint& checkpoint, const Gemma2Config& config) {
  const std::string prefix = checkpoint.contains("model.embed_tokens.weight") ? "model." : "";
  const WeightLoader w(ctx, checkpoint, prefix);
  Gemma2 model;
  model.config_ = config;
  model.softcap_ = config.softcap;
  model.embedding_ = w.table("embed_tokens.weight", config.vocabulary_size, config.hidden_size);
  for (int64_t i = 0; i < config.layers; ++i) {
    model.layers_.push_back(load_layer(w.scope("layers." + std::to_string(i)), config, config.windows[static_cast<size_t>(i)]));
  }
  model.norm_ = w.vector("norm.weight", {config.hidden_size});
  checkpoint.check_all_used({"lm_head.weight"});
  return model;
}

void Gemma2::check_ids(std::span<const int32_t> ids) const {
  if (static_cast<int64_t>(ids.size()) > config_.max_positions) {
    throw Error(ErrorKind::kUsage, "text encoder: " + std::to_string(ids.size()) + " tokens are more than its " +
                                       std::to_string(config_.max_positions) + " positions");
  }
  for (const int32_t id : ids) {
    if (id >= 0 && id < config_.vocabulary_size) continue;
    throw Error(ErrorKind::kModel, "text encoder: token id " + std::to_string(id) + " is outside its vocabulary of " +
                                       std::to_string(config_.vocabulary_size) + ": tokenizer and text encoder do not belong together");
  }
}

void Gemma2::forward(Context& ctx, std::span<const int32_t> ids, const Tensor& y) const {
  check_ids(ids);
  const Arena::Scope scope(*ctx.arena);
  const Tensor x = ctx.allocate({static_cast<int64_t>(ids.size()), config_.hidden_size});
  embedding_lookup(ctx, embedding_, ids, x, embedding_scale(config_.hidden_size, ctx.dtype));
  if (ctx.tap) ctx.tap("embed_tokens", x);
  for (size_t i = 0; i < layers_.size(); ++i) {
    ctx.cancel.throw_if_cancelled();
    attention(ctx, layers_[i], x);
    feed_forward(ctx, layers_[i], x);
    if (ctx.tap) ctx.tap("layers." + std::to_string(i), x);
  }
  rms_norm(ctx, x, norm_, y, {.eps = config_.rms_norm_eps, .unit_offset = true});
  if (ctx.tap) ctx.tap("norm", y);
}

// x ← x + Norm_post( W_o · softmax( cap · tanh( R(q) R(k)ᵀ / (√s · cap) ) ) v ),   q, k, v = W_{q,k,v} Norm_in(x), R rotary
void Gemma2::attention(Context& ctx, const Gemma2Layer& layer, const Tensor& x) const {
  const Arena::Scope scope(*ctx.arena);
  const Gemma2Config& c = config_;
  const int64_t T = x.dim(0), H = c.heads, Hk = c.kv_heads, d = c.head_dim;
  const RmsNormArgs norm{.eps = c.rms_norm_eps, .unit_offset = true};
  const Tensor h = ctx.allocate({T, c.hidden_size});
  const Tensor q = ctx.allocate({T, H, d}), k = ctx.allocate({T, Hk, d}), v = ctx.allocate({T, Hk, d});
  const Tensor a = ctx.allocate({1, T, H, d});

  rms_norm(ctx, x, layer.input_norm, h, norm);
  linear(ctx, h, layer.q, q.reshape({T, H * d}));
  linear(ctx, h, layer.k, k.reshape({T, Hk * d}));
  linear(ctx, h, layer.v, v.reshape({T, Hk * d}));
  rotary_embedding(ctx, q, 0, c.rope_theta);
  rotary_embedding(ctx, k, 0, c.rope_theta);
  const AttentionArgs args{
      .scale = static_cast<float>(1 / std::sqrt(c.query_pre_attn_scalar)), .softcap = softcap_, .causal = true, .window = layer.window};
  softmax_attention(ctx, q.reshape({1, T, H, d}), k, v, a, args);
  linear(ctx, a.reshape({T, H * d}), layer.out, h);

  RmsNormArgs post = norm;
  post.residual = x;
  rms_norm(ctx, h, layer.post_attention_norm, x, post);
}

// x ← x + Norm_post( W_down ( act(W_gate h) ⊙ W_up h ) ),   h = Norm_pre(x)
void Gemma2::feed_forward(Context& ctx, const Gemma2Layer& layer, const Tensor& x) const {
  const Arena::Scope scope(*ctx.arena);
  const Gemma2Config& c = config_;
  const int64_t T = x.dim(0);
  const RmsNormArgs norm{.eps = c.rms_norm_eps, .unit_offset = true};
  const Tensor h = ctx.allocate({T, c.hidden_size});
  const Tensor gate = ctx.allocate({T, c.intermediate_size}), up = ctx.allocate({T, c.intermediate_size});

  rms_norm(ctx, x, layer.pre_feedforward_norm, h, norm);
  linear(ctx, h, layer.gate, gate);
  linear(ctx, h, layer.up, up);
  multiply_activated(ctx, gate, up, gate, c.activation);
  linear(ctx, gate, layer.down, h);

  RmsNormArgs post = norm;
  post.residual = x;
  rms_norm(ctx, h, layer.post_feedforward_norm, x, post);
}

}  // namespace linea
