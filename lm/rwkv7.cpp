#include "lm/rwkv7.h"

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

Rwkv7 Rwkv7::load(Context& ctx, const Checkpoint& checkpoint, float heads_eps) {
  const WeightLoader w = WeightLoader(ctx, checkpoint).as_stored();
  Rwkv7 model;
  model.shell_ = RwkvShell::load(w);
  model.heads_eps_ = heads_eps;
  model.heads_ = rows_of(w, "blocks.0.att.r_k");
  model.head_dim_ = columns_of(w, "blocks.0.att.r_k");
  require_state_rows(w, "channels of a head", model.head_dim_);
  const int64_t C = model.shell_.channels(), layers = count_blocks(checkpoint, "blocks.", "att.r_k");
  for (int64_t i = 0; i < layers; ++i) {
    const WeightLoader block = w.scope("blocks." + std::to_string(i));
    model.layers_.push_back({LayerNorm::load(block, "ln1", C), LayerNorm::load(block, "ln2", C),
                             load_time_mix(block.scope("att"), C, model.heads_, model.head_dim_, i == 0),
                             load_channel_mix(block.scope("ffn"), C)});
  }
  checkpoint.check_all_used({"blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2", "blocks.0.att.v1.T", "blocks.0.att.v2.T"});
  return model;
}

State Rwkv7::initial_state(Context& ctx) const {
  const int64_t C = shell_.channels();
  return State(layers(), {{C}, {heads_, head_dim_, head_dim_}, {C}}, ctx.backend->device());
}

void Rwkv7::prefill(Context& ctx, std::span<const int32_t> tokens, State& state, const Tensor& logits) const {
  const Arena::Scope scope(*ctx.arena);
  const Tensor v_first = ctx.allocate({static_cast<int64_t>(tokens.size()), heads_ * head_dim_});
  run_layers(ctx, shell_, tokens, layers(), "blocks", state, logits, [&](int64_t i, const Tensor& x) {
    time_mix(ctx, i, x, v_first, state);
    channel_mix(ctx, i, x, state);
  });
}

// x ← x + W_o( (GN(S_t r) + bonus) ⊙ g ),   S_t = S_{t-1} (diag(w) - kk (kk ⊙ η)ᵀ) + v kᵀ,   every input a mix of this token and the last
void Rwkv7::time_mix(Context& ctx, int64_t layer, const Tensor& x, const Tensor& v_first, const State& state) const {
  const Arena::Scope scope(*ctx.arena);
  const Rwkv7Layer& l = layers_[static_cast<size_t>(layer)];
  const Rwkv7TimeMix& m = l.time_mix;
  const int64_t T = x.dim(0), H = heads_, A = H * head_dim_;
  const Tensor r = ctx.allocate({T, A}), k = ctx.allocate({T, A}), g = ctx.allocate({T, A}), y = ctx.allocate({T, A});
  const Tensor kk = ctx.allocate({T, A}), eta = ctx.allocate({T, A}), log_w = ctx.allocate({T, A}, DType::kF32);
  const Tensor v = layer == 0 ? v_first : ctx.allocate({T, A}), share = layer == 0 ? Tensor() : y;
  project_inputs(ctx, l, x, state.part(layer, kTimeShift), {.r = r, .k = k, .v = v, .g = g, .log_w = log_w, .eta = eta, .share = share});
  const Rwkv7Inputs in = {.k = k,
                          .v = v,
                          .rate = eta,
                          .decay = log_w,
                          .kk = kk,
                          .v_first = layer == 0 ? Tensor() : v_first,
                          .share = share,
                          .k_k = m.k_k,
                          .k_a = m.k_a,
                          .heads = H};
  const Rwkv7Outputs out = {.q = r, .k = k, .v = v, .g = g, .u = m.r_k, .w = m.ln_x.weight, .bias = m.ln_x.bias, .eps = heads_eps_};
  rwkv7_heads(ctx, in, state.part(layer, kMemory), out, y);
  const Projection output[] = {{.x = y, .w = &m.output, .y = x, .residual = x}};
  project(ctx, output);
}

// σ where the model has it is applied: log_w holds what rwkv7_inputs calls decay.
void Rwkv7::project_inputs(Context& ctx, const Rwkv7Layer& l, const Tensor& x, const Tensor& shift_state, const Rwkv7Projected& to) {
  const Arena::Scope scope(*ctx.arena);
  const Rwkv7TimeMix& m = l.time_mix;
  const int64_t T = x.dim(0), C = x.dim(1);
  const Tensor z_r = ctx.allocate({T, C}), z_k = ctx.allocate({T, C}), z_v = ctx.allocate({T, C}), z_w = ctx.allocate({T, C});
  const Tensor z_a = ctx.allocate({T, C}), z_g = ctx.allocate({T, C});
  const Mix mixes[] = {{m.x_r, z_r}, {m.x_k, z_k}, {m.x_v, z_v}, {m.x_w, z_w}, {m.x_a, z_a}, {m.x_g, z_g}};
  mix_with_previous(ctx, x, l.ln1.weight, l.ln1.bias, shift_state, mixes);

  const auto narrow = [&](const LowRank& w, DType type) { return ctx.allocate({T, w.down.shape[0]}, type); };
  const Tensor w = narrow(m.decay, DType::kF32), a = narrow(m.learning_rate, ctx.dtype), g = narrow(m.gate, ctx.dtype);
  std::vector<Projection> down = {
      {.x = z_r, .w = &m.receptance, .y = to.r},       {.x = z_k, .w = &m.key, .y = to.k},
      {.x = z_v, .w = &m.value_projection, .y = to.v}, {.x = z_w, .w = &m.decay.down, .y = w, .function = Function::kTanh},
      {.x = z_a, .w = &m.learning_rate.down, .y = a},  {.x = z_g, .w = &m.gate.down, .y = g, .function = Function::kSigmoid}};
  std::vector<Projection> up = {
      {.x = w, .w = &m.decay.up, .y = to.log_w, .bias = m.decay.bias, .function = Function::kSigmoid},
      {.x = a, .w = &m.learning_rate.up, .y = to.eta, .bias = m.learning_rate.bias, .function = Function::kSigmoid},
      {.x = g, .w = &m.gate.up, .y = to.g}};
  if (to.share.defined()) {
    const Tensor v = narrow(m.value, ctx.dtype);
    down.push_back({.x = z_v, .w = &m.value.down, .y = v});
    up.push_back({.x = v, .w = &m.value.up, .y = to.share, .bias = m.value.bias, .function = Function::kSigmoid});
  }
  project(ctx, down);
  project(ctx, up);
}

// x ← x + W_v relu(W_k z)²
void Rwkv7::channel_mix(Context& ctx, int64_t layer, const Tensor& x, const State& state) const {
  const Arena::Scope scope(*ctx.arena);
  const Rwkv7Layer& l = layers_[static_cast<size_t>(layer)];
  const Rwkv7ChannelMix& m = l.channel_mix;
  const int64_t T = x.dim(0), C = x.dim(1);
  const Tensor z = ctx.allocate({T, C}), k = ctx.allocate({T, m.key.shape[0]});
  const Mix mixes[] = {{m.x_k, z}};
  mix_with_previous(ctx, x, l.ln2.weight, l.ln2.bias, state.part(layer, kChannelShift), mixes);
  const Projection key[] = {{.x = z, .w = &m.key, .y = k, .function = Function::kReluSquared}};
  project(ctx, key);
  const Projection value[] = {{.x = k, .w = &m.value, .y = x, .residual = x}};
  project(ctx, value);
}

}  // namespace linea
