#include "lm/rwkv_channel_mix.h"

#include "kernels/backend.h"

namespace linea {

Tensor previous_share(const WeightLoader& w, const std::string& name, int64_t channels, bool stored_for_current) {
  const Tensor stored = squeezed(w, name, {channels});
  if (!stored_for_current) return stored;
  const Tensor host = stored.to(kCpuDevice);
  Tensor share({channels}, DType::kF32);
  for (int64_t c = 0; c < channels; ++c) share.data<float>()[c] = 1.0f - host.data<float>()[c];
  return share.to(w.context().backend->device());
}

GatedChannelMix GatedChannelMix::load(const WeightLoader& w, int64_t channels) {
  const WeightLoader ffn = w.scope("ffn");
  const bool old = ffn.contains("time_mix_k");
  const std::string mix = old ? "time_mix_" : "time_maa_";
  const int64_t C = channels, F = rows_of(ffn, "key.weight");
  GatedChannelMix m;
  m.ln2_ = LayerNorm::load(w, "ln2", C);
  m.x_k_ = previous_share(ffn, mix + "k", C, old);
  m.x_r_ = previous_share(ffn, mix + "r", C, old);
  m.key_ = ffn.linear("key.weight", F, C);
  m.value_ = ffn.linear("value.weight", C, F);
  m.receptance_ = ffn.linear("receptance.weight", C, C);
  return m;
}

void GatedChannelMix::operator()(Context& ctx, const Tensor& x, const Tensor& shift_state) const {
  const Arena::Scope scope(*ctx.arena);
  const int64_t T = x.dim(0), C = x.dim(1);
  const Tensor z_r = ctx.allocate({T, C}), z = ctx.allocate({T, C}), k = ctx.allocate({T, key_.shape[0]});
  const Tensor r = ctx.allocate({T, C}, DType::kF32), v = ctx.allocate({T, C}, DType::kF32);
  const Mix mixes[] = {{x_r_, z_r}, {x_k_, z}};
  mix_with_previous(ctx, x, ln2_.weight, ln2_.bias, shift_state, mixes);
  const Projection inputs[] = {{.x = z_r, .w = &receptance_, .y = r, .function = Function::kSigmoid},
                               {.x = z, .w = &key_, .y = k, .function = Function::kReluSquared}};
  project(ctx, inputs);
  const Projection value[] = {{.x = k, .w = &value_, .y = v}};
  project(ctx, value);
  multiply_activated(ctx, r, v, v, Activation::kNone);
  elementwise(ctx, v, x, {.residual = x});
}

}  // namespace linea
