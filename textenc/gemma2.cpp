#include "textenc/gemma2.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "core/planning_memory.h"
#include "kernels/backend.h"
#include "kernels/weight_loader.h"

namespace linea {
namespace {

// Longer rows stay in 16 bits where a model's matrices are 8-bit floats: what pictures look like was judged so.
Weight load_down(const WeightLoader& w, int64_t out, int64_t in) {
  constexpr int64_t kLongestNarrowRow = 8192;
  Context plain = w.context();
  plain.fp8 = plain.fp8 && in <= kLongestNarrowRow;
  return WeightLoader(plain, w.checkpoint(), w.prefix()).linear("mlp.down_proj.weight", out, in);
}

Gemma2Layer load_layer(const WeightLoader& w, const Gemma2Config& c) {
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
  layer.down = load_down(w, D, I);
  layer.post_feedforward_norm = w.vector("post_feedforward_layernorm.weight", {D});
  return layer;
}

// √hidden as the reference has it: rounded to the type of the weights.
float embedding_scale(int64_t hidden, DType dtype) {
  const auto exact = static_cast<float>(std::sqrt(static_cast<double>(hidden)));
  if (dtype == DType::kBF16) return static_cast<float>(BFloat16(exact));
  if (dtype == DType::kF16) return static_cast<float>(Float16(exact));
  return exact;
}

// The rows are one batch member, so that their bits do not depend on how a device tuned the product.
void project(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y) {
  linear(ctx, x.reshape({1, x.dim(0), x.dim(1)}), w, y.reshape({1, y.dim(0), y.dim(1)}));
}

}  // namespace

Gemma2 Gemma2::load(Context& ctx, const Checkpoint& checkpoint, const Gemma2Config& config, Gemma2Layers where) {
  const std::string prefix = checkpoint.contains("model.embed_tokens.weight") ? "model." : "", table = "embed_tokens.weight";
  const WeightLoader w(ctx, checkpoint, prefix);
  const auto layer = [config, prefix](Context& c, const Checkpoint& from, size_t i) {
    return load_layer(WeightLoader(c, from, prefix).scope("layers." + std::to_string(i)), config);
  };
  const bool resident = where == Gemma2Layers::kResident;
  const auto count = static_cast<size_t>(config.layers);
  Gemma2 model;
  model.config_ = config;
  model.softcap_ = config.softcap;
  model.embedding_ = resident ? w.table(table, config.vocabulary_size, config.hidden_size)
                              : checkpoint.load(prefix + table, {config.vocabulary_size, config.hidden_size}, w.type_of(table, ctx.dtype));
  if (where == Gemma2Layers::kReloaded) {
    model.load_layer_ = [layer, checkpoint, fp8 = ctx.fp8](Context& c, size_t i) {
      Context loading = c;
      loading.fp8 = fp8;
      return layer(loading, checkpoint, i);
    };
    PlanningMemory unused(ctx.backend->device());  // what is missing or misshapen is told now, without reading it
    const PlanningMemory::Scope scope(unused);
    for (size_t i = 0; i < count; ++i) layer(ctx, checkpoint, i);
  } else {
    model.layers_.load(ctx, count, resident ? count : 0, [&](size_t i, bool) { return layer(ctx, checkpoint, i); });
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
  const Text text[] = {{ids, y}};
  forward(ctx, text);
}

void Gemma2::forward(Context& ctx, std::span<const Text> texts) const {
  const Arena::Scope scope(*ctx.arena);
  std::vector<Tensor> xs;
  for (const Text& text : texts) {
    check_ids(text.ids);
    const Tensor& x = xs.emplace_back(ctx.allocate({static_cast<int64_t>(text.ids.size()), config_.hidden_size}));
    embed(ctx, text.ids, x);
    if (ctx.tap) ctx.tap("embed_tokens", x);
  }
  LayerStore<Gemma2Layer>::Pass layers(ctx, layers_, /*cycles=*/false);
  for (size_t i = 0; i < config_.windows.size(); ++i) {
    ctx.cancel.throw_if_cancelled();
    const auto compute = [&](const Gemma2Layer& layer) {
      for (const Tensor& x : xs) {
        attention(ctx, layer, config_.windows[i], x);
        feed_forward(ctx, layer, x);
        if (ctx.tap) ctx.tap("layers." + std::to_string(i), x);
      }
    };
    load_layer_ ? compute(load_layer_(ctx, i)) : compute(layers[i]);
  }
  for (size_t n = 0; n < texts.size(); ++n) {
    rms_norm(ctx, xs[n], norm_, texts[n].y, {.eps = config_.rms_norm_eps, .unit_offset = true});
    if (ctx.tap) ctx.tap("norm", texts[n].y);
  }
}

// A table that stayed on the host sends the rows that are asked for.
void Gemma2::embed(Context& ctx, std::span<const int32_t> ids, const Tensor& x) const {
  const float scale = embedding_scale(config_.hidden_size, ctx.dtype);
  if (embedding_.device() == x.device()) return embedding_lookup(ctx, embedding_, ids, x, scale);
  const Arena::Scope scope(*ctx.arena);
  const Tensor rows = ctx.allocate({x.dim(0), config_.hidden_size}, embedding_.dtype());
  std::vector<int32_t> places(ids.size());
  std::iota(places.begin(), places.end(), 0);
  if (!ctx.planning()) {
    const auto row_bytes = static_cast<size_t>(rows.bytes() / rows.dim(0));
    std::vector<char> gathered(row_bytes * ids.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      std::memcpy(gathered.data() + i * row_bytes, static_cast<const char*>(embedding_.raw()) + static_cast<size_t>(ids[i]) * row_bytes,
                  row_bytes);
    }
    allocator_of(x.device()).copy_from_host(rows.raw(), gathered.data(), rows.bytes());
  }
  embedding_lookup(ctx, rows, places, x, scale);
}

// x ← x + Norm_post( W_o · softmax( cap · tanh( R(q) R(k)ᵀ / (√s · cap) ) ) v ),   q, k, v = W_{q,k,v} Norm_in(x), R rotary
void Gemma2::attention(Context& ctx, const Gemma2Layer& layer, int64_t window, const Tensor& x) const {
  const Arena::Scope scope(*ctx.arena);
  const Gemma2Config& c = config_;
  const int64_t T = x.dim(0), H = c.heads, Hk = c.kv_heads, d = c.head_dim;
  const RmsNormArgs norm{.eps = c.rms_norm_eps, .unit_offset = true};
  const Tensor h = ctx.allocate({T, c.hidden_size});
  const Tensor q = ctx.allocate({T, H, d}), k = ctx.allocate({T, Hk, d}), v = ctx.allocate({T, Hk, d});
  const Tensor a = ctx.allocate({1, T, H, d});

  rms_norm(ctx, x, layer.input_norm, h, norm);
  project(ctx, h, layer.q, q.reshape({T, H * d}));
  project(ctx, h, layer.k, k.reshape({T, Hk * d}));
  project(ctx, h, layer.v, v.reshape({T, Hk * d}));
  rotary_embedding(ctx, q, 0, c.rope_theta);
  rotary_embedding(ctx, k, 0, c.rope_theta);
  const AttentionArgs args{
      .scale = static_cast<float>(1 / std::sqrt(c.query_pre_attn_scalar)), .softcap = softcap_, .causal = true, .window = window};
  softmax_attention(ctx, q.reshape({1, T, H, d}), k, v, a, args);
  project(ctx, a.reshape({T, H * d}), layer.out, h);

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
  project(ctx, h, layer.gate, gate);
  project(ctx, h, layer.up, up);
  multiply_activated(ctx, gate, up, gate, c.activation);
  project(ctx, gate, layer.down, h);

  RmsNormArgs post = norm;
  post.residual = x;
  rms_norm(ctx, h, layer.post_feedforward_norm, x, post);
}

}  // namespace linea
