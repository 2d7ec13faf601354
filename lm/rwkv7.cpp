#include "lm/rwkv7.h"

#include <cmath>

#include "kernels/backend.h"
#include "lm/forward.h"

namespace linea {
namespace {

enum Part { kTimeShift, kMemory, kChannelShift };

Rwkv7TimeMix load_time_mix(const WeightLoader& w, int64_t C, int64_t H, int64_t N, bool is_first) {
  const int64_t A = H * N;
  const DType dtype = w.context().dtype;
  Rwkv7TimeMix m;
  m.x_r = squeezed(w, "x_r", {C});
  m.x_w = squeezed(w, "x_w", {C});
  m.x_k = squeezed(w, "x_k", {C});
  m.x_v = squeezed(w, "x_v", {C});
  m.x_a = squeezed(w, "x_a", {C});
  m.x_g = squeezed(w, "x_g", {C});
  m.decay = load_low_rank(w, "w1", "w2", C, A, DType::kF32);
  m.decay.bias = squeezed(w, "w0", {A});
  m.learning_rate = load_low_rank(w, "a1", "a2", C, A, dtype);
  m.learning_rate.bias = squeezed(w, "a0", {A});
  if (!is_first) {
    m.value = load_low_rank(w, "v1", "v2", C, A, dtype);
    m.value.bias = squeezed(w, "v0", {A});
  }
  m.gate = load_low_rank(w, "g1", "g2", C, A, dtype);
  m.k_k = squeezed(w, "k_k", {A});
  m.k_a = squeezed(w, "k_a", {A});
  m.r_k = squeezed(w, "r_k", {H, N});
  m.receptance = w.linear("receptance.weight", A, C);
  m.key = w.linear("key.weight", A, C);
  m.value_projection = w.linear("value.weight", A, C);
  m.output = w.linear("output.weight", C, A);
  m.ln_x = LayerNorm::load(w, "ln_x", A);
  return m;
}

Rwkv7ChannelMix load_channel_mix(const WeightLoader& w, int64_t C) {
  const int64_t F = rows_of(w, "key.weight");
  return {squeezed(w, "x_k", {C}), w.linear("key.weight", F, C), w.linear("value.weight", C, F)};
}

}  // namespace

Rwkv7 Rwkv7::load(Context& ctx, const Checkpoint& checkpoint) {
  const WeightLoader w(ctx, checkpoint);
  Rwkv7 model;
  model.shell_ = RwkvShell::load(w);
  model.heads_ = rows_of(w, "blocks.0.att.r_k");
  model.head_dim_ = columns_of(w, "blocks.0.att.r_k");
  const int64_t C = model.shell_.channels(), layers = count_blocks(checkpoint, "blocks.", "att.r_k");
  for (int64_t i = 0; i < layers; ++i) {
    const WeightLoader block = w.scope("blocks." + std::to_string(i));
    model.layers_.push_back({LayerNorm::load(block, "ln1", C), LayerNorm::load(block, "ln2", C),
                             load_time_mix(block.scope("att"), C, model.heads_, model.head_dim_, i == 0),
                             load_channel_mix(block.scope("ffn"), C)});
  }
  checkpoint.check_all_used({"blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"});
  return model;
}

State Rwkv7::initial_state(Context& ctx) const {
  const int64_t C = shell_.channels();
  return State(layers(), {{C}, {heads_, head_dim_, head_dim_}, {C}}, ctx.backend->device());
}

void Rwkv7::prefill(Context& ctx, std::span<const int32_t> tokens, State& state, const Tensor& logits) const {
  const Arena::Scope scope(*ctx.arena);
  const Tensor v_first = ctx.allocate({static_cast<int64_t>(tokens.size()), heads_ * head_dim_});
  run_layers(ctx, shell_, tokens, layers(), "blocks", logits, [&](int64_t i, const Tensor& x) {
    time_mix(ctx, i, x, v_first, state);
    channel_mix(ctx, i, x, state);
  });
}

// x ← x + W_o( (GN(S_t r) + bonus) ⊙ g ),   S_t = S_{t-1} (diag(w) - kk (kk ⊙ η)ᵀ) + v kᵀ,   every input a mix of this token and the last
void Rwkv7::time_mix(Context& ctx, int64_t layer, const Tensor& x, const Tensor& v_first, const State& state) const {
  const Arena::Scope scope(*ctx.arena);
  const Rwkv7Layer& l = layers_[static_cast<size_t>(layer)];
  const Rwkv7TimeMix& m = l.time_mix;
  const int64_t T = x.dim(0), C = x.dim(1), H = heads_, N = head_dim_, A = H * N;
  const Tensor h = ctx.allocate({T, C}), previous = ctx.allocate({T, C}), z = ctx.allocate({T, C});
  const Tensor r = ctx.allocate({T, A}), k = ctx.allocate({T, A}), g = ctx.allocate({T, A}), y = ctx.allocate({T, A});
  const Tensor kk = ctx.allocate({T, A}), eta = ctx.allocate({T, A}), log_w = ctx.allocate({T, A}, DType::kF32);
  const Tensor v = layer == 0 ? v_first : ctx.allocate({T, A});

  l.ln1(ctx, x, h);
  token_shift(ctx, h, state.part(layer, kTimeShift), previous);
  const auto mixed = [&](const Tensor& mix) {
    lerp(ctx, h, previous, mix, z);
    return z;
  };
  linear(ctx, mixed(m.x_r), m.receptance, r);
  linear(ctx, mixed(m.x_k), m.key, k);
  linear(ctx, mixed(m.x_v), m.value_projection, v);
  if (layer > 0) {
    low_rank(ctx, m.value, z, Function::kIdentity, y);
    elementwise(ctx, y, y, {.function = Function::kSigmoid});
    lerp(ctx, v, v_first, y, v);
  }
  low_rank(ctx, m.decay, mixed(m.x_w), Function::kTanh, log_w);
  elementwise(ctx, log_w, log_w, {.function = Function::kSigmoid});
  linear_combination(ctx, std::vector<Term>{{-std::exp(-0.5f), log_w}}, log_w);
  low_rank(ctx, m.learning_rate, mixed(m.x_a), Function::kIdentity, eta);
  elementwise(ctx, eta, eta, {.function = Function::kSigmoid});
  low_rank(ctx, m.gate, mixed(m.x_g), Function::kSigmoid, g);

  normalize_heads(ctx, k, m.k_k, kk, H);
  multiply_activated(ctx, k, eta, y, Activation::kNone);
  lerp(ctx, k, y, m.k_a, k);  // k (1 + (η - 1) k_a)
  multiply_activated(ctx, kk, eta, eta, Activation::kNone);

  const auto heads = [&](const Tensor& t) { return t.reshape({T, H, N}); };
  linear_recurrence(ctx, heads(r), heads(k), heads(v), {.log_decay = heads(log_w), .a = heads(kk), .b = heads(eta)},
                    state.part(layer, kMemory), heads(y));
  group_norm(ctx, y, m.ln_x.weight, y, {.bias = m.ln_x.bias, .groups = H, .eps = 64e-5f});
  add_bonus(ctx, r, k, v, m.r_k, y);
  multiply_activated(ctx, g, y, y, Activation::kNone);
  linear(ctx, y, m.output, h);
  elementwise(ctx, h, x, {.residual = x});
}

// x ← x + W_v relu(W_k z)²
void Rwkv7::channel_mix(Context& ctx, int64_t layer, const Tensor& x, const State& state) const {
  const Arena::Scope scope(*ctx.arena);
  const Rwkv7Layer& l = layers_[static_cast<size_t>(layer)];
  const Rwkv7ChannelMix& m = l.channel_mix;
  const int64_t T = x.dim(0), C = x.dim(1);
  const Tensor h = ctx.allocate({T, C}), previous = ctx.allocate({T, C}), k = ctx.allocate({T, m.key.shape[0]});
  l.ln2(ctx, x, h);
  token_shift(ctx, h, state.part(layer, kChannelShift), previous);
  lerp(ctx, h, previous, m.x_k, h);
  linear(ctx, h, m.key, k);
  elementwise(ctx, k, k, {.function = Function::kReluSquared});
  linear(ctx, k, m.value, h);
  elementwise(ctx, h, x, {.residual = x});
}

}  // namespace linea
