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
  const Tensor h = ctx.allocate({T, C}), previous = ctx.allocate({T, C}), z = ctx.allocate({T, C}), r = ctx.allocate({T, C});
  const Tensor k = ctx.allocate({T, key_.shape[0]});
  ln2_(ctx, x, h);
  token_shift(ctx, h, shift_state, previous);
  lerp(ctx, h, previous, x_r_, z);
  linear(ctx, z, receptance_, r);
  elementwise(ctx, r, r, {.function = Function::kSigmoid});
  lerp(ctx, h, previous, x_k_, z);
  linear(ctx, z, key_, k);
  elementwise(ctx, k, k, {.function = Function::kReluSquared});
  linear(ctx, k, value_, z);
  multiply_activated(ctx, r, z, z, Activation::kNone);
  elementwise(ctx, z, x, {.residual = x});
}

}  // namespace linea
