#include "lm/rwkv56.h"

#include <cmath>

#include "kernels/backend.h"
#include "lm/forward.h"

namespace linea {
namespace {

enum Part { kTimeShift, kMemory, kChannelShift };

// Each of the H or H·N values of a tensor through a function, on the host, repeated to `shape`'s number where there is one a head.
template <class Function> Tensor converted(const WeightLoader& w, const std::string& name, Shape shape, Function function) {
  const int64_t found = w.checkpoint().shape_of(w.prefix() + name).elements();
  const int64_t heads = shape[-2], per_head = found == heads ? 1 : shape[-1];
  const Tensor host = squeezed(w, name, {heads, per_head}).to(kCpuDevice);
  Tensor result(shape, DType::kF32);
  for (int64_t i = 0; i < result.elements(); ++i) {
    result.data<float>()[i] = function(host.data<float>()[per_head == 1 ? i / shape[-1] : i]);
  }
  return result.to(w.context().backend->device());
}

// The first dimension of the bonus, which is [H, N] in RWKV-6 and 5.2 and [H] before, always like RWKV-5's decay.
int64_t heads_of(const WeightLoader& w, int64_t bonus_values) {
  const std::string bonus = w.contains("time_faaaa") ? "time_faaaa" : "time_first";
  const int64_t heads = rows_of(w, bonus), found = w.checkpoint().shape_of(w.prefix() + bonus).elements();
  const int64_t expected = bonus_values ? bonus_values : w.checkpoint().shape_of(w.prefix() + "time_decay").elements();
  if (found != expected) {
    throw Error(ErrorKind::kModel, w.checkpoint().source().string() + ": " + w.prefix() + bonus + ": expected " + std::to_string(expected) +
                                       " values, found " + std::to_string(found));
  }
  return heads;
}

void load_dynamic_mix(const WeightLoader& w, int64_t C, Rwkv56TimeMix& m) {
  const int64_t inputs = Rwkv56TimeMix::kInputs, rank = rank_of(w, "time_maa_w1") / inputs;
  m.mix_x = squeezed(w, "time_maa_x", {C});
  m.mix_down = transposed_linear(w, "time_maa_w1", C, inputs * rank, w.context().dtype);
  const bool transposed = w.contains("time_maa_w2.T");
  const Shape shape = transposed ? Shape{inputs, C, rank} : Shape{inputs, rank, C};
  const Tensor up = w.checkpoint().load(w.prefix() + (transposed ? "time_maa_w2.T" : "time_maa_w2"), shape, DType::kF32);
  for (int64_t j = 0; j < inputs; ++j) {
    const Tensor matrix = transposed ? transposed_matrix(up.select(0, j)) : up.select(0, j);
    m.mix_up[static_cast<size_t>(j)] = transposed_linear(w.context(), matrix, w.context().dtype);
  }
}

// x in the type of the context: what a matrix multiplies. All else stays in f32, as in the authors' code.
Tensor rounded(Context& ctx, const Tensor& x) {
  if (ctx.dtype == DType::kF32) return x;
  const Tensor y = ctx.allocate(x.shape());
  cast(ctx, x, y);
  return y;
}

void product(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const Tensor& bias = {}) {
  const Projection one[] = {{.x = x, .w = &w, .y = y, .bias = bias}};
  project(ctx, one);
}

// What the projections of a layer read: mixes of a token's norm and the previous one's, of fixed shares, or in RWKV-6 of shares that
// depend on both. Each is valid until the next is asked for.
class MixedInputs {
 public:
  MixedInputs(Context& ctx, const Rwkv56TimeMix& m, bool is_6, const Tensor& x, const Tensor& shift_state)
      : ctx_(ctx), m_(m), is_6_(is_6), h_(f32_like(x)), previous_(f32_like(x)), mix_(f32_like(x)) {
    m.ln1(ctx, x, h_);
    token_shift(ctx, h_, shift_state, previous_);
    if (ctx.dtype != DType::kF32) rounded_ = ctx.allocate(x.shape());
    if (!is_6) return;
    narrow_ = ctx.allocate({x.dim(0), m.mix_down.shape[0]});
    share_ = f32_like(x);
    const Projection down[] = {{.x = mixed(m.mix_x), .w = &m.mix_down, .y = narrow_, .function = Function::kTanh}};
    project(ctx, down);
  }

  Tensor operator()(Rwkv56TimeMix::Input input) const {
    if (!is_6_) return mixed(m_.mix[input]);
    const int64_t rank = narrow_.dim(1) / Rwkv56TimeMix::kInputs;
    product(ctx_, narrow_.slice(1, input * rank, rank), m_.mix_up[input], share_, m_.mix[input]);
    return mixed(share_);
  }

 private:
  Tensor f32_like(const Tensor& x) const { return ctx_.allocate(x.shape(), DType::kF32); }

  Tensor mixed(const Tensor& share) const {
    lerp(ctx_, h_, previous_, share, mix_);
    if (!rounded_.defined()) return mix_;
    cast(ctx_, mix_, rounded_);
    return rounded_;
  }

  Context& ctx_;
  const Rwkv56TimeMix& m_;
  bool is_6_;
  Tensor h_, previous_, mix_, rounded_, narrow_, share_;
};

}  // namespace

bool Rwkv56::matches(const Checkpoint& checkpoint) {
  return checkpoint.contains("blocks.0.att.ln_x.weight") && !checkpoint.contains("blocks.0.att.r_k");
}

Rwkv56TimeMix Rwkv56::load_time_mix(const WeightLoader& block) const {
  const WeightLoader w = block.scope("att");
  const int64_t C = shell_.channels(), H = heads_, N = head_dim_, A = H * N;
  Rwkv56TimeMix m;
  m.ln1 = LayerNorm::load(block, "ln1", C);
  m.ln_x = LayerNorm::load(w, "ln_x", A);
  const std::string names = "wkvrg";
  for (size_t j = 0; j < names.size(); ++j) {
    const std::string name = (is_6_ ? "time_maa_" : "time_mix_") + names.substr(j, 1);
    if (w.contains(name)) m.mix[j] = previous_share(w, name, C, /*stored_for_current=*/!is_6_);
  }
  if (is_6_) {
    load_dynamic_mix(w, C, m);
    m.decay = load_low_rank(w, "time_decay_w1", "time_decay_w2", C, A, DType::kF32);
    m.decay.bias = squeezed(w, "time_decay", {A});
  } else {
    m.log_decay = converted(w, "time_decay", {1, H, N}, [](float x) { return -std::exp(x); });
  }
  if (w.contains("time_first")) {
    m.bonus = converted(w, "time_first", {H, N}, [](float x) { return std::exp(x); });
  } else {
    m.bonus = converted(w, "time_faaaa", {H, N}, [](float x) { return x; });
  }
  m.receptance = w.linear("receptance.weight", A, C);
  m.key = w.linear("key.weight", A, C);
  m.value = w.linear("value.weight", A, C);
  if (is_6_ || w.contains("gate.weight")) m.gate = w.linear("gate.weight", A, C);
  m.output = w.linear("output.weight", C, A);
  return m;
}

Rwkv56 Rwkv56::load(Context& ctx, const Checkpoint& checkpoint, int64_t rescaled_every) {
  const WeightLoader w = WeightLoader(ctx, checkpoint).as_stored();
  Rwkv56 model;
  model.rescaled_every_ = rescaled_every;
  model.shell_ = RwkvShell::load(w);
  model.is_6_ = w.contains("blocks.0.att.time_maa_x");
  const int64_t width = rows_of(w, "blocks.0.att.key.weight");
  model.heads_ = heads_of(w.scope("blocks.0.att"), model.is_6_ ? width : 0);
  model.head_dim_ = width / model.heads_;
  require_state_rows(w, "channels of a head", model.head_dim_);
  const int64_t layers = count_blocks(checkpoint, "blocks.", "att.ln_x.weight");
  for (int64_t i = 0; i < layers; ++i) {
    const WeightLoader block = w.scope("blocks." + std::to_string(i));
    model.time_mixes_.push_back(model.load_time_mix(block));
    model.channel_mixes_.push_back(GatedChannelMix::load(block, model.shell_.channels()));
  }
  checkpoint.check_all_used();
  return model;
}

State Rwkv56::initial_state(Context& ctx) const {
  const int64_t C = shell_.channels();
  return State(layers(), {{C}, {heads_, head_dim_, head_dim_}, {C}}, ctx.backend->device());
}

void Rwkv56::prefill(Context& ctx, std::span<const int32_t> tokens, State& state, const Tensor& logits) const {
  run_layers(ctx, shell_, tokens, layers(), "blocks", state, logits, [&](int64_t i, const Tensor& x) {
    time_mix(ctx, i, x, state);
    channel_mixes_[static_cast<size_t>(i)](ctx, x, state.part(i, kChannelShift));
    if (rescaled_every_ > 0 && (i + 1) % rescaled_every_ == 0) linear_combination(ctx, std::vector<Term>{{0.5f, x}}, x);
  });
}

// x ← x + W_o( GN( S_{t-1} r + v (u ⊙ k)ᵀ r ) ⊙ silu(g) ),   S_t = S_{t-1} diag(w_t) + v kᵀ
void Rwkv56::time_mix(Context& ctx, int64_t layer, const Tensor& x, const State& state) const {
  const Arena::Scope scope(*ctx.arena);
  const Rwkv56TimeMix& m = time_mixes_[static_cast<size_t>(layer)];
  const int64_t T = x.dim(0), H = heads_, N = head_dim_, A = H * N;
  const Tensor r = ctx.allocate({T, A}, DType::kF32), k = ctx.allocate({T, A}, DType::kF32), v = ctx.allocate({T, A}, DType::kF32);
  const Tensor y = ctx.allocate({T, A}, DType::kF32);
  const MixedInputs mixed(ctx, m, is_6_, x, state.part(layer, kTimeShift));
  product(ctx, mixed(Rwkv56TimeMix::kR), m.receptance, r);
  product(ctx, mixed(Rwkv56TimeMix::kK), m.key, k);
  product(ctx, mixed(Rwkv56TimeMix::kV), m.value, v);
  Tensor log_decay = m.log_decay;
  if (is_6_) {
    const Tensor logit = ctx.allocate({T, A}, DType::kF32);
    low_rank(ctx, m.decay, mixed(Rwkv56TimeMix::kW), Function::kTanh, logit);
    elementwise(ctx, logit, logit, {.function = Function::kExp});
    linear_combination(ctx, std::vector<Term>{{-1.0f, logit}}, logit);
    log_decay = logit.reshape({T, H, N});
  }

  const auto heads = [&](const Tensor& t) { return t.reshape({T, H, N}); };
  linear_recurrence(ctx, heads(r), heads(k), heads(v), {.log_decay = log_decay, .read_before_write = true}, state.part(layer, kMemory),
                    heads(y));
  add_bonus(ctx, r, k, v, m.bonus, y);
  group_norm(ctx, y, m.ln_x.weight, y, {.bias = m.ln_x.bias, .groups = H, .eps = 64e-5f});
  if (m.gate.defined()) {
    product(ctx, mixed(Rwkv56TimeMix::kG), m.gate, r);
    multiply_activated(ctx, r, y, y, Activation::kSilu);
  }
  const Projection output[] = {{.x = rounded(ctx, y), .w = &m.output, .y = x, .residual = x}};
  project(ctx, output);
}

}  // namespace linea
