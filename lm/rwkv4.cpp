#include "lm/rwkv4.h"

#include <cmath>

#include "kernels/backend.h"
#include "lm/forward.h"

namespace linea {
namespace {

enum Part { kTimeShift, kAverage, kChannelShift };

Rwkv4TimeMix load_time_mix(const WeightLoader& block, int64_t C, int64_t A) {
  const WeightLoader w = block.scope("att");
  Rwkv4TimeMix m;
  m.ln1 = LayerNorm::load(block, "ln1", C);
  m.x_k = previous_share(w, "time_mix_k", C, /*stored_for_current=*/true);
  m.x_v = previous_share(w, "time_mix_v", C, /*stored_for_current=*/true);
  m.x_r = previous_share(w, "time_mix_r", C, /*stored_for_current=*/true);
  m.log_decay = negative_exponential(w, "time_decay", {A});
  m.bonus = squeezed(w, "time_first", {A});
  m.receptance = w.linear("receptance.weight", A, C);
  m.key = w.linear("key.weight", A, C);
  m.value = w.linear("value.weight", A, C);
  m.output = w.linear("output.weight", C, A);
  return m;
}

}  // namespace

bool Rwkv4::matches(const Checkpoint& checkpoint) {
  return checkpoint.contains("blocks.0.att.time_first") && !checkpoint.contains("blocks.0.att.ln_x.weight");
}

Rwkv4 Rwkv4::load(Context& ctx, const Checkpoint& checkpoint) {
  const WeightLoader w = WeightLoader(ctx, checkpoint).as_stored();
  Rwkv4 model;
  model.shell_ = RwkvShell::load(w);
  model.width_ = rows_of(w, "blocks.0.att.key.weight");
  const int64_t C = model.shell_.channels(), layers = count_blocks(checkpoint, "blocks.", "att.time_first");
  for (int64_t i = 0; i < layers; ++i) {
    const WeightLoader block = w.scope("blocks." + std::to_string(i));
    model.time_mixes_.push_back(load_time_mix(block, C, model.width_));
    model.channel_mixes_.push_back(GatedChannelMix::load(block, C));
  }
  checkpoint.check_all_used();
  return model;
}

State Rwkv4::initial_state(Context& ctx) const {
  const int64_t C = shell_.channels();
  State state(layers(), {{C}, {3, width_}, {C}}, ctx.backend->device());
  const std::vector<float> none(static_cast<size_t>(width_), -1e30f);  // below every exponent
  for (int64_t i = 0; i < layers(); ++i) upload(ctx, none, state.part(i, kAverage).select(0, 2));
  return state;
}

void Rwkv4::prefill(Context& ctx, std::span<const int32_t> tokens, State& state, const Tensor& logits) const {
  run_layers(ctx, shell_, tokens, layers(), "blocks", state, logits, [&](int64_t i, const Tensor& x) {
    time_mix(ctx, i, x, state);
    channel_mixes_[static_cast<size_t>(i)](ctx, x, state.part(i, kChannelShift));
  });
}

// x ← x + W_o( σ(r) ⊙ wkv ),   wkv the average of past values weighted by exp(k) with decay, and of this one with a bonus
void Rwkv4::time_mix(Context& ctx, int64_t layer, const Tensor& x, const State& state) const {
  const Arena::Scope scope(*ctx.arena);
  const Rwkv4TimeMix& m = time_mixes_[static_cast<size_t>(layer)];
  const int64_t T = x.dim(0), C = x.dim(1), A = width_;
  const Tensor z_r = ctx.allocate({T, C}), z_k = ctx.allocate({T, C}), z_v = ctx.allocate({T, C});
  const Tensor r = ctx.allocate({T, A}), k = ctx.allocate({T, A}), v = ctx.allocate({T, A}), y = ctx.allocate({T, A});
  const Mix mixes[] = {{m.x_r, z_r}, {m.x_k, z_k}, {m.x_v, z_v}};
  mix_with_previous(ctx, x, m.ln1.weight, m.ln1.bias, state.part(layer, kTimeShift), mixes);
  const Projection inputs[] = {{.x = z_r, .w = &m.receptance, .y = r, .function = Function::kSigmoid},
                               {.x = z_k, .w = &m.key, .y = k},
                               {.x = z_v, .w = &m.value, .y = v}};
  project(ctx, inputs);
  weighted_average(ctx, k, v, m.log_decay, m.bonus, state.part(layer, kAverage), y);
  multiply_activated(ctx, r, y, y, Activation::kNone);
  const Projection output[] = {{.x = y, .w = &m.output, .y = x, .residual = x}};
  project(ctx, output);
}

}  // namespace linea
