#include "lm/mamba2.h"

#include "kernels/backend.h"
#include "lm/forward.h"

namespace linea {
namespace {

enum Part { kWindow, kMemory };

}  // namespace

Mamba2Config Mamba2Config::read(const std::filesystem::path& file) { return parse(read_json_file(file), file.string()); }

Mamba2Config Mamba2Config::parse(const Json& object, const std::string& source) {
  const Config json(object, source);
  Mamba2Config c;
  if (json.has("d_model")) {  // the authors' file
    const Config mixer(json.has("ssm_cfg") ? json.at("ssm_cfg") : Json::object(), source + ": ssm_cfg");
    if (mixer.text("layer", "Mamba1") != "Mamba2") mixer.fail("layer", "expected \"Mamba2\"");
    c.groups = mixer.integer("ngroups", 1, 4096, 1);
    require_flag(mixer, "norm_before_gate", false);
    require_flag(mixer, "rmsnorm", true);
    require_flag(mixer, "D_has_hdim", false);
    require_no_time_step_limit(mixer, "dt_limit");
    require_plain_layers(json);
    return c;
  }
  if (const std::string type = json.text("model_type", "mamba2"); type != "mamba2") {
    json.fail("model_type", "expected \"mamba2\", found \"" + type + "\"");
  }
  c.groups = json.integer("n_groups", 1, 4096);
  c.eps = static_cast<float>(json.number("layer_norm_epsilon", 1e-5));
  if (json.text("hidden_act", "silu") != "silu") json.fail("hidden_act", "expected \"silu\"");
  require_no_time_step_limit(json, "time_step_limit");
  return c;
}

Mamba2 Mamba2::load(Context& ctx, const Checkpoint& checkpoint, const Mamba2Config& config) {
  Mamba2 model;
  model.config_ = config;
  model.shell_ = MambaShell::load(ctx, checkpoint, config.eps);
  const WeightLoader w = WeightLoader(ctx, checkpoint, MambaShell::prefix_of(checkpoint)).as_stored();
  const WeightLoader first = w.scope("layers.0.mixer");
  model.inner_ = columns_of(first, "out_proj.weight");
  model.heads_ = rows_of(first, name_of_rates(first));
  model.taps_ = columns_of(first, "conv1d.weight");
  model.state_dim_ = (rows_of(first, "conv1d.weight") - model.inner_) / (2 * config.groups);
  require_state_rows(w, "states of a head", model.state_dim_);
  if (model.inner_ % model.heads_ != 0 || model.heads_ % config.groups != 0 || model.inner_ % config.groups != 0) {
    throw Error(ErrorKind::kModel, checkpoint.source().string() + ": " + std::to_string(model.inner_) + " channels, " +
                                       std::to_string(model.heads_) + " heads and " + std::to_string(config.groups) +
                                       " groups do not divide each other");
  }
  const int64_t layers = count_blocks(checkpoint, w.prefix() + "layers.", "mixer." + name_of_rates(first));
  for (int64_t i = 0; i < layers; ++i) model.layers_.push_back(model.load_layer(w.scope("layers." + std::to_string(i))));
  checkpoint.check_all_used();
  return model;
}

Mamba2Layer Mamba2::load_layer(const WeightLoader& w) const {
  const int64_t D = shell_.channels(), convolved = inner_ + 2 * config_.groups * state_dim_, in = inner_ + convolved + heads_;
  const WeightLoader m = w.scope("mixer");
  Mamba2Layer l;
  l.norm = w.vector("norm.weight", {D});
  l.in = m.linear("in_proj.weight", in, D);
  l.in_bias = m.optional_vector("in_proj.bias", {in});
  l.out = m.linear("out_proj.weight", D, inner_);
  l.out_bias = m.optional_vector("out_proj.bias", {D});
  l.conv = causal_filter(m, "conv1d.weight", convolved, taps_);
  l.conv_bias = m.optional_vector("conv1d.bias", {convolved});
  l.dt_bias = m.vector("dt_bias", {heads_});
  l.A = rates(m, {heads_});
  l.skip = squeezed(m, "D", {heads_});
  l.gated_norm = m.vector("norm.weight", {inner_});
  return l;
}

State Mamba2::initial_state(Context& ctx) const {
  return State(layers(), {{taps_ - 1, inner_ + 2 * config_.groups * state_dim_}, {heads_, state_dim_, inner_ / heads_}},
               ctx.backend->device());
}

void Mamba2::prefill(Context& ctx, std::span<const int32_t> tokens, State& state, const Tensor& logits) const {
  run_layers(ctx, shell_, tokens, layers(), "layers", state, logits, [&](int64_t i, const Tensor& x) { mixer(ctx, i, x, state); });
}

// x ← x + W_out RMS( y ⊙ silu(z) ),   S_t = exp(Δ A) S_{t-1} + (Δ x_t) B_tᵀ,   y_t = S_t C_t + D x_t,   Δ = softplus(dt + dt_bias)
void Mamba2::mixer(Context& ctx, int64_t layer, const Tensor& x, const State& state) const {
  const Arena::Scope scope(*ctx.arena);
  const Mamba2Layer& l = layers_[static_cast<size_t>(layer)];
  const int64_t T = x.dim(0), D = x.dim(1), H = heads_, G = config_.groups, N = state_dim_, P = inner_ / H;
  const int64_t convolved = inner_ + 2 * G * N;
  const Tensor h = ctx.allocate({T, D}), projected = ctx.allocate({T, inner_ + convolved + H});
  const Tensor xBC = ctx.allocate({T, convolved}), y = ctx.allocate({T, inner_}), normed = ctx.allocate({T, inner_});

  group_norm(ctx, x, l.norm, h, {.eps = config_.eps, .centre = false});
  linear(ctx, h, l.in, projected, {.bias = l.in_bias});
  const Tensor z = projected.slice(1, 0, inner_), dt = projected.slice(1, inner_ + convolved, H);
  causal_conv1d(ctx, projected.slice(1, inner_, convolved), l.conv, l.conv_bias, state.part(layer, kWindow), xBC, Activation::kSilu);

  const Tensor v = xBC.slice(1, 0, inner_).reshape({T, H, P});
  const Tensor B = xBC.slice(1, inner_, G * N).reshape({T, G, N}), C = xBC.slice(1, inner_ + G * N, G * N).reshape({T, G, N});
  const Mamba2Heads heads = {
      .q = C, .k = B, .v = v, .step = dt, .gate = z.reshape({T, H, P}), .step_bias = l.dt_bias, .rate = l.A, .skip = l.skip};
  mamba2_heads(ctx, heads, state.part(layer, kMemory), y.reshape({T, H, P}));
  group_norm(ctx, y, l.gated_norm, normed, {.groups = G, .eps = config_.eps, .centre = false});
  const Projection output[] = {{.x = normed, .w = &l.out, .y = x, .bias = l.out_bias, .residual = x}};
  project(ctx, output);
}

}  // namespace linea
