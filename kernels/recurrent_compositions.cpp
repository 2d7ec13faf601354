// Ops of recurrent models as sequences of other ops: what a backend does that has no kernel of its own for them.
#include <cmath>

#include "kernels/backend.h"

namespace linea {

void Backend::project(Context& ctx, std::span<const Projection> projections) {
  for (const Projection& p : projections) {
    if (p.function == Function::kIdentity && !p.residual.defined() && p.y.dtype() == p.x.dtype()) {
      linea::linear(ctx, p.x, *p.w, p.y, {.bias = p.bias});
      continue;
    }
    const Arena::Scope scope(*ctx.arena);
    const Tensor product = p.y.dtype() == p.x.dtype() && !p.residual.defined() ? p.y : ctx.allocate(p.y.shape(), p.x.dtype());
    linea::linear(ctx, p.x, *p.w, product, {.bias = p.bias});
    linea::elementwise(ctx, product, p.y, {.function = p.function, .residual = p.residual});
  }
}

void Backend::mix_with_previous(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state,
                                std::span<const Mix> mixes) {
  const Arena::Scope scope(*ctx.arena);
  const DType type = mixes[0].y.dtype();
  const Tensor h = ctx.allocate(x.shape(), type), previous = ctx.allocate(x.shape(), type);
  linea::group_norm(ctx, x, w, h, {.bias = bias});
  linea::token_shift(ctx, h, state, previous);
  for (const Mix& mix : mixes) linea::lerp(ctx, h, previous, mix.m, mix.y);
}

void Backend::rwkv7_inputs(Context& ctx, const Rwkv7Inputs& in) {
  const Arena::Scope scope(*ctx.arena);
  const Tensor slowed = ctx.allocate(in.k.shape(), in.k.dtype());
  if (in.share.defined()) linea::lerp(ctx, in.v, in.v_first, in.share, in.v);
  linea::linear_combination(ctx, std::vector<Term>{{-std::exp(-0.5f), in.decay}}, in.decay);
  linea::normalize_heads(ctx, in.k, in.k_k, in.kk, in.heads);
  linea::multiply_activated(ctx, in.k, in.rate, slowed, Activation::kNone);
  linea::lerp(ctx, in.k, slowed, in.k_a, in.k);
  linea::multiply_activated(ctx, in.kk, in.rate, in.rate, Activation::kNone);
}

void Backend::rwkv7_outputs(Context& ctx, const Rwkv7Outputs& args, const Tensor& y) {
  linea::group_norm(ctx, y, args.w, y, {.bias = args.bias, .groups = args.u.dim(0), .eps = args.eps});
  linea::add_bonus(ctx, args.q, args.k, args.v, args.u, y);
  linea::multiply_activated(ctx, args.g, y, y, Activation::kNone);
}

void Backend::rwkv7_heads(Context& ctx, const Rwkv7Inputs& in, const Tensor& state, const Rwkv7Outputs& out, const Tensor& y) {
  const int64_t T = y.dim(0), H = in.heads;
  const auto heads = [&](const Tensor& t) { return t.reshape({T, H, y.dim(1) / H}); };
  linea::rwkv7_inputs(ctx, in);
  linea::linear_recurrence(ctx, heads(out.q), heads(in.k), heads(in.v),
                           {.log_decay = heads(in.decay), .a = heads(in.kk), .b = heads(in.rate), .least_log_decay = -std::exp(-0.5f)},
                           state, heads(y));
  linea::rwkv7_outputs(ctx, out, y);
}

void Backend::mamba2_heads(Context& ctx, const Mamba2Heads& in, const Tensor& state, const Tensor& y) {
  const Arena::Scope scope(*ctx.arena);
  const int64_t T = in.v.dim(0), H = in.v.dim(1), inner = H * in.v.dim(2);
  const Tensor delta = ctx.allocate({T, H}, DType::kF32), log_decay = ctx.allocate({T, H}, DType::kF32);
  linea::elementwise(ctx, in.step, delta, {.function = Function::kSoftplus, .bias = in.step_bias});
  linea::elementwise(ctx, delta, log_decay, {.scale = in.rate});
  linea::linear_recurrence(ctx, in.q, in.k, in.v, {.log_decay = log_decay.reshape({T, H, 1}), .value_scale = delta, .skip = in.skip}, state,
                           y);
  const Tensor rows = y.reshape({T, inner});
  linea::multiply_activated(ctx, in.gate.reshape({T, inner}), rows, rows, Activation::kSilu);
}

}  // namespace linea
