#include "lm/mamba1.h"

#include "kernels/backend.h"
#include "lm/forward.h"

namespace linea {
namespace {

enum Part { kWindow, kMemory };

}  // namespace

float Mamba1::read_eps(const Json& object, const std::string& source) {
  const Config json(object, source);
  if (json.has("d_model")) {  // the authors' file
    const Config mixer(json.has("ssm_cfg") ? json.at("ssm_cfg") : Json::object(), source + ": ssm_cfg");
    if (const std::string layer = mixer.text("layer", "Mamba1"); layer != "Mamba1")
      mixer.fail("layer", "expected \"Mamba1\", found " + layer);
    require_plain_layers(json);
    return 1e-5f;
  }
  if (const std::string type = json.text("model_type", "mamba"); type != "mamba") {
    json.fail("model_type", "expected \"mamba\", found \"" + type + "\"");
  }
  if (json.text("hidden_act", "silu") != "silu") json.fail("hidden_act", "expected \"silu\"");
  return static_cast<float>(json.number("layer_norm_epsilon", 1e-5));
}

Mamba1 Mamba1::load(Context& ctx, const Checkpoint& checkpoint, float eps) {
  Mamba1 model;
  model.eps_ = eps;
  model.shell_ = MambaShell::load(ctx, checkpoint, eps);
  const WeightLoader w = WeightLoader(ctx, checkpoint, MambaShell::prefix_of(checkpoint)).as_stored(), first = w.scope("layers.0.mixer");
  model.inner_ = rows_of(first, name_of_rates(first));
  model.state_dim_ = columns_of(first, name_of_rates(first));
  require_state_rows(w, "states of a channel", model.state_dim_);
  model.rank_ = columns_of(first, "dt_proj.weight");
  model.taps_ = columns_of(first, "conv1d.weight");
  const int64_t layers = count_blocks(checkpoint, w.prefix() + "layers.", "mixer." + name_of_rates(first));
  for (int64_t i = 0; i < layers; ++i) model.layers_.push_back(model.load_layer(w.scope("layers." + std::to_string(i))));
  checkpoint.check_all_used();
  return model;
}

Mamba1Layer Mamba1::load_layer(const WeightLoader& w) const {
  const int64_t D = shell_.channels();
  const WeightLoader m = w.scope("mixer");
  Mamba1Layer l;
  l.norm = w.vector("norm.weight", {D});
  l.in = m.linear("in_proj.weight", 2 * inner_, D);
  l.in_bias = m.optional_vector("in_proj.bias", {2 * inner_});
  l.x_proj = m.linear("x_proj.weight", rank_ + 2 * state_dim_, inner_);
  l.dt = m.linear("dt_proj.weight", inner_, rank_);
  l.dt_bias = m.vector("dt_proj.bias", {inner_});
  l.out = m.linear("out_proj.weight", D, inner_);
  l.out_bias = m.optional_vector("out_proj.bias", {D});
  l.conv = causal_filter(m, "conv1d.weight", inner_, taps_);
  l.conv_bias = m.optional_vector("conv1d.bias", {inner_});
  l.A = transposed_matrix(rates(m, {inner_, state_dim_}).to(kCpuDevice)).to(w.context().backend->device());
  l.skip = m.vector("D", {inner_});
  return l;
}

State Mamba1::initial_state(Context& ctx) const {
  return State(layers(), {{taps_ - 1, inner_}, {state_dim_, inner_}}, ctx.backend->device());
}

void Mamba1::prefill(Context& ctx, std::span<const int32_t> tokens, State& state, const Tensor& logits) const {
  run_layers(ctx, shell_, tokens, layers(), "layers", state, logits, [&](int64_t i, const Tensor& x) { mixer(ctx, i, x, state); });
}

// x ← x + W_out( y ⊙ silu(z) ),   h_t = exp(Δ A) h_{t-1} + Δ u_t B_t,   y_t = C_tᵀ h_t + D u_t,   Δ = softplus(W_dt dt + bias)
void Mamba1::mixer(Context& ctx, int64_t layer, const Tensor& x, const State& state) const {
  const Arena::Scope scope(*ctx.arena);
  const Mamba1Layer& l = layers_[static_cast<size_t>(layer)];
  const int64_t T = x.dim(0), D = x.dim(1), N = state_dim_;
  const Tensor h = ctx.allocate({T, D}), projected = ctx.allocate({T, 2 * inner_}), u = ctx.allocate({T, inner_});
  const Tensor parameters = ctx.allocate({T, rank_ + 2 * N}), y = ctx.allocate({T, inner_});
  const Tensor delta = ctx.allocate({T, inner_}, DType::kF32);

  group_norm(ctx, x, l.norm, h, {.eps = eps_, .centre = false});
  linear(ctx, h, l.in, projected, {.bias = l.in_bias});
  const Tensor z = projected.slice(1, inner_, inner_);
  causal_conv1d(ctx, projected.slice(1, 0, inner_), l.conv, l.conv_bias, state.part(layer, kWindow), u, Activation::kSilu);
  linear(ctx, u, l.x_proj, parameters);
  linear(ctx, parameters.slice(1, 0, rank_), l.dt, y);
  elementwise(ctx, y, delta, {.function = Function::kSoftplus, .bias = l.dt_bias});
  selective_scan(ctx, u,
                 {.delta = delta, .A = l.A, .B = parameters.slice(1, rank_, N), .c = parameters.slice(1, rank_ + N, N), .D = l.skip},
                 state.part(layer, kMemory), y);
  multiply_activated(ctx, z, y, y, Activation::kSilu);
  const Projection output[] = {{.x = y, .w = &l.out, .y = x, .bias = l.out_bias, .residual = x}};
  project(ctx, output);
}

}  // namespace linea
