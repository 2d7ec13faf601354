// Checks the arguments of recurrent models' ops once, for all backends, and dispatches.
#include "core/error.h"
#include "kernels/backend.h"
#include "kernels/ops.h"
#include "kernels/recurrence_layout.h"

namespace linea {
namespace {

void require(bool holds, const char* op, const char* expectation, const Tensor& found) {
  if (!holds) throw Error(ErrorKind::kInternal, std::string(op) + ": expected " + expectation + ", got " + found.describe());
}

bool is_vector(const Tensor& t, int64_t size) { return t.dtype() == DType::kF32 && t.elements() == size && t.is_contiguous(); }

bool is_optional_vector(const Tensor& t, int64_t size) { return !t.defined() || is_vector(t, size); }

bool same_rows(const Tensor& a, const Tensor& b) { return a.shape() == b.shape() && a.dtype() == b.dtype() && b.has_row_pitch(); }

bool same_rows_of_any_type(const Tensor& a, const Tensor& b) { return a.shape() == b.shape() && a.has_row_pitch() && b.has_row_pitch(); }

// A state of a sequence of shape `one`, or of several sequences of equal length that make up the rows.
bool is_state(const Tensor& t, Shape one, int64_t rows) {
  if (t.dtype() != DType::kF32 || !t.is_contiguous()) return false;
  if (t.rank() != one.rank() + 1) return t.elements() == one.elements();
  return t.dim(0) > 0 && t.elements() == t.dim(0) * one.elements() && rows % t.dim(0) == 0;
}

// Calls work(first row, number of rows, state) for every sequence, or once for all where the backend takes several.
template <class Work> void for_sequences(Context& ctx, const Tensor& state, int rank_of_one, int64_t rows, const Work& work) {
  if (ctx.planning()) return;
  const int64_t sequences = sequences_of(state, rank_of_one), tokens = rows / sequences;
  if (sequences == 1 || ctx.backend->takes_sequences()) return work(0, rows, state);
  for (int64_t i = 0; i < sequences; ++i) work(i * tokens, tokens, state.select(0, i));
}

bool is_heads(const Tensor& t, Shape shape, DType dtype) { return t.shape() == shape && t.dtype() == dtype && t.stride(2) == 1; }

}  // namespace

void linear_recurrence(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const RecurrenceArgs& args, const Tensor& state,
                       const Tensor& y) {
  constexpr auto kOp = "linear_recurrence";
  require(q.rank() == 3 && q.stride(2) == 1, kOp, "q [T, G, dk]", q);
  require(v.rank() == 3 && v.dim(0) == q.dim(0) && v.dim(1) % q.dim(1) == 0 && v.stride(2) == 1 && v.dtype() == q.dtype(), kOp,
          "v [T, H, dv] with H divisible by G", v);
  const int64_t T = q.dim(0), H = v.dim(1), dk = q.dim(2), dv = v.dim(2);
  require(is_heads(k, q.shape(), q.dtype()), kOp, "k like q", k);
  require(is_heads(y, v.shape(), q.dtype()), kOp, "y like v", y);
  require(state.rank() >= 3 && state.dim(-2) == dk && is_state(state, {H, dk, dv}, T), kOp, "state [H, dk, dv] f32", state);
  require(args.a.defined() == args.b.defined(), kOp, "both a and b or neither", args.a);
  for (const Tensor* t : {&args.a, &args.b}) require(!t->defined() || is_heads(*t, {T, H, dk}, q.dtype()), kOp, "a, b [T, H, dk]", *t);
  const Tensor& decay = args.log_decay;
  require(!decay.defined() || (decay.rank() == 3 && decay.dtype() == DType::kF32 && (decay.dim(0) == T || decay.dim(0) == 1) &&
                               decay.dim(1) == H && (decay.dim(2) == dk || decay.dim(2) == 1) && decay.stride(2) == 1),
          kOp, "log_decay [T or 1, H, dk or 1] f32", decay);
  const Tensor& scale = args.value_scale;
  require(!scale.defined() || (scale.shape() == Shape{T, H} && scale.dtype() == DType::kF32 && scale.stride(1) == 1), kOp,
          "value_scale [T, H] f32", scale);
  require(is_optional_vector(args.skip, H), kOp, "skip [H] f32", args.skip);
  for_sequences(ctx, state, 3, T, [&](int64_t first, int64_t count, const Tensor& own) {
    const auto part = [&](const Tensor& t) { return t.defined() && t.dim(0) == T ? t.slice(0, first, count) : t; };
    const RecurrenceArgs own_args = {.log_decay = part(decay),
                                     .a = part(args.a),
                                     .b = part(args.b),
                                     .value_scale = part(scale),
                                     .skip = args.skip,
                                     .read_before_write = args.read_before_write,
                                     .least_log_decay = args.least_log_decay};
    ctx.backend->linear_recurrence(ctx, part(q), part(k), part(v), own_args, own, part(y));
  });
}

void selective_scan(Context& ctx, const Tensor& x, const SelectiveScanArgs& args, const Tensor& state, const Tensor& y) {
  constexpr auto kOp = "selective_scan";
  require(x.rank() == 2 && x.has_row_pitch() && args.A.rank() == 2, kOp, "x [T, C] and A [N, C]", x);
  const int64_t T = x.dim(0), C = x.dim(1), N = args.A.dim(0);
  require(same_rows(x, y), kOp, "y like x", y);
  require(is_vector(args.A, N * C) && args.A.dim(1) == C, kOp, "A [N, C] f32", args.A);
  require(args.delta.shape() == x.shape() && args.delta.dtype() == DType::kF32 && args.delta.has_row_pitch(), kOp, "delta [T, C] f32",
          args.delta);
  for (const Tensor* t : {&args.B, &args.c}) {
    require(t->shape() == Shape{T, N} && t->dtype() == x.dtype() && t->has_row_pitch(), kOp, "B, c [T, N]", *t);
  }
  require(is_vector(args.D, C), kOp, "D [C] f32", args.D);
  require(is_state(state, {N, C}, T), kOp, "state [N, C] f32", state);
  for_sequences(ctx, state, 2, T, [&](int64_t first, int64_t count, const Tensor& own) {
    const auto part = [&](const Tensor& t) { return t.slice(0, first, count); };
    const SelectiveScanArgs own_args = {.delta = part(args.delta), .A = args.A, .B = part(args.B), .c = part(args.c), .D = args.D};
    ctx.backend->selective_scan(ctx, part(x), own_args, own, part(y));
  });
}

void weighted_average(Context& ctx, const Tensor& k, const Tensor& v, const Tensor& log_decay, const Tensor& u, const Tensor& state,
                      const Tensor& y) {
  constexpr auto kOp = "weighted_average";
  require(k.rank() == 2 && k.has_row_pitch(), kOp, "k [T, C]", k);
  for (const Tensor* t : {&v, &y}) require(same_rows(k, *t), kOp, "v, y like k", *t);
  for (const Tensor* t : {&log_decay, &u}) require(is_vector(*t, k.dim(1)), kOp, "log_decay, u [C] f32", *t);
  require(is_state(state, {3, k.dim(1)}, k.dim(0)), kOp, "state [3, C] f32", state);
  for_sequences(ctx, state, 2, k.dim(0), [&](int64_t first, int64_t count, const Tensor& own) {
    const auto part = [&](const Tensor& t) { return t.slice(0, first, count); };
    ctx.backend->weighted_average(ctx, part(k), part(v), log_decay, u, own, part(y));
  });
}

void causal_conv1d(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state, const Tensor& y,
                   Activation activation) {
  constexpr auto kOp = "causal_conv1d";
  require(x.rank() == 2 && x.dim(0) > 0 && x.has_row_pitch(), kOp, "x [T, C]", x);
  require(same_rows(x, y), kOp, "y like x", y);
  require(w.rank() == 2 && is_vector(w, w.dim(0) * x.dim(1)) && w.dim(1) == x.dim(1), kOp, "w [K, C] f32", w);
  require(is_optional_vector(bias, x.dim(1)), kOp, "bias [C] f32", bias);
  require(is_state(state, {w.dim(0) - 1, x.dim(1)}, x.dim(0)), kOp, "state [K-1, C] f32", state);
  for_sequences(ctx, state, 2, x.dim(0), [&](int64_t first, int64_t count, const Tensor& own) {
    ctx.backend->causal_conv1d(ctx, x.slice(0, first, count), w, bias, own, y.slice(0, first, count), activation);
  });
}

void token_shift(Context& ctx, const Tensor& x, const Tensor& state, const Tensor& y) {
  require(x.rank() == 2 && x.dim(0) > 0 && x.has_row_pitch(), "token_shift", "x [T, C]", x);
  require(same_rows(x, y) && y.raw() != x.raw(), "token_shift", "y like x, not x itself", y);
  require(is_state(state, {x.dim(1)}, x.dim(0)), "token_shift", "state [C] f32", state);
  for_sequences(ctx, state, 1, x.dim(0), [&](int64_t first, int64_t count, const Tensor& own) {
    ctx.backend->token_shift(ctx, x.slice(0, first, count), own, y.slice(0, first, count));
  });
}

void lerp(Context& ctx, const Tensor& a, const Tensor& b, const Tensor& m, const Tensor& y) {
  require(a.has_row_pitch() && same_rows(a, b), "lerp", "b like a", b);
  require(same_rows(a, y), "lerp", "y like a", y);
  require(m.rank() == 1 ? is_vector(m, a.dim(-1)) : same_rows(a, m), "lerp", "m [C] f32 or like a", m);
  if (!ctx.planning()) ctx.backend->lerp(ctx, a, b, m, y);
}

void elementwise(Context& ctx, const Tensor& x, const Tensor& y, const ElementwiseArgs& args) {
  require(same_rows_of_any_type(x, y), "elementwise", "x, y of one shape", y);
  require(is_optional_vector(args.bias, x.dim(-1)), "elementwise", "bias [C] f32", args.bias);
  require(is_optional_vector(args.scale, x.dim(-1)), "elementwise", "scale [C] f32", args.scale);
  require(!args.residual.defined() || same_rows(y, args.residual), "elementwise", "residual like y", args.residual);
  if (!ctx.planning()) ctx.backend->elementwise(ctx, x, y, args);
}

void group_norm(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, const GroupNormArgs& args) {
  require(same_rows_of_any_type(x, y) && x.dim(-1) % args.groups == 0, "group_norm", "x, y of one shape, channels in equal groups", x);
  require(is_vector(w, x.dim(-1)), "group_norm", "w [C] f32", w);
  require(is_optional_vector(args.bias, x.dim(-1)), "group_norm", "bias [C] f32", args.bias);
  if (!ctx.planning()) ctx.backend->group_norm(ctx, x, w, y, args);
}

void normalize_heads(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, int64_t heads, float eps) {
  require(x.has_row_pitch() && same_rows(x, y) && x.dim(-1) % heads == 0, "normalize_heads", "x, y of one shape, channels in heads", x);
  require(is_vector(w, x.dim(-1)), "normalize_heads", "w [C] f32", w);
  if (!ctx.planning()) ctx.backend->normalize_heads(ctx, x, w, y, heads, eps);
}

void add_bonus(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& u, const Tensor& y) {
  require(y.rank() == 2 && y.has_row_pitch(), "add_bonus", "y [T, H·d]", y);
  for (const Tensor* t : {&q, &k, &v}) require(same_rows(y, *t), "add_bonus", "q, k, v like y", *t);
  require(u.rank() == 2 && is_vector(u, y.dim(1)), "add_bonus", "u [H, d] f32", u);
  if (!ctx.planning()) ctx.backend->add_bonus(ctx, q, k, v, u, y);
}

void project(Context& ctx, std::span<const Projection> projections) {
  for (const Projection& p : projections) {
    require(p.x.rank() == 2 && p.x.has_row_pitch() && p.w && p.w->shape.rank() == 2 && p.x.dim(1) == p.w->shape[1], "project",
            "x [rows, in] for w [out, in]", p.x);
    require(p.y.rank() == 2 && p.y.dim(0) == p.x.dim(0) && p.y.dim(1) == p.w->shape[0] && p.y.has_row_pitch(), "project", "y [rows, out]",
            p.y);
    require(is_optional_vector(p.bias, p.y.dim(1)), "project", "bias [out] f32", p.bias);
    require(!p.residual.defined() || same_rows(p.y, p.residual), "project", "residual like y", p.residual);
  }
  ctx.backend->project(ctx, projections);
}

void mix_with_previous(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state,
                       std::span<const Mix> mixes) {
  constexpr auto kOp = "mix_with_previous";
  require(x.rank() == 2 && x.dim(0) > 0 && x.has_row_pitch() && !mixes.empty(), kOp, "x [T, C] and a mix at least", x);
  for (const Tensor* t : {&w, &bias}) require(is_vector(*t, x.dim(1)), kOp, "w, bias [C] f32", *t);
  require(is_state(state, {x.dim(1)}, x.dim(0)), kOp, "state [C] f32", state);
  for (const Mix& mix : mixes) {
    require(is_vector(mix.m, x.dim(1)), kOp, "m [C] f32", mix.m);
    require(same_rows_of_any_type(x, mix.y) && mix.y.dtype() == mixes[0].y.dtype(), kOp, "y like x, all of one type", mix.y);
    require(x.dtype() == DType::kF32 || x.dtype() == mix.y.dtype(), kOp, "x f32 or of y's type", x);
  }
  ctx.backend->mix_with_previous(ctx, x, w, bias, state, mixes);
}

void rwkv7_inputs(Context& ctx, const Rwkv7Inputs& in) {
  constexpr auto kOp = "rwkv7_inputs";
  require(in.k.rank() == 2 && in.k.has_row_pitch() && in.heads > 0 && in.k.dim(1) % in.heads == 0, kOp, "k [T, H·d]", in.k);
  for (const Tensor* t : {&in.v, &in.rate, &in.kk}) require(same_rows(in.k, *t), kOp, "v, rate, kk like k", *t);
  require(in.v_first.defined() == in.share.defined(), kOp, "both v_first and share or neither", in.share);
  for (const Tensor* t : {&in.v_first, &in.share}) require(!t->defined() || same_rows(in.k, *t), kOp, "v_first, share like k", *t);
  require(in.decay.shape() == in.k.shape() && in.decay.dtype() == DType::kF32 && in.decay.is_contiguous(), kOp, "decay [T, H·d] f32",
          in.decay);
  for (const Tensor* t : {&in.k_k, &in.k_a}) require(is_vector(*t, in.k.dim(1)), kOp, "k_k, k_a [H·d] f32", *t);
  ctx.backend->rwkv7_inputs(ctx, in);
}

void rwkv7_outputs(Context& ctx, const Rwkv7Outputs& args, const Tensor& y) {
  constexpr auto kOp = "rwkv7_outputs";
  require(y.rank() == 2 && y.has_row_pitch(), kOp, "y [T, H·d]", y);
  for (const Tensor* t : {&args.q, &args.k, &args.v, &args.g}) require(same_rows(y, *t), kOp, "q, k, v, g like y", *t);
  require(args.u.rank() == 2 && is_vector(args.u, y.dim(1)), kOp, "u [H, d] f32", args.u);
  for (const Tensor* t : {&args.w, &args.bias}) require(is_vector(*t, y.dim(1)), kOp, "w, bias [H·d] f32", *t);
  if (!ctx.planning()) ctx.backend->rwkv7_outputs(ctx, args, y);
}

void mamba2_heads(Context& ctx, const Mamba2Heads& in, const Tensor& state, const Tensor& y) {
  constexpr auto kOp = "mamba2_heads";
  require(in.v.rank() == 3 && y.has_row_pitch() && is_heads(y, in.v.shape(), in.v.dtype()), kOp, "v, y [T, H, dv]", y);
  const int64_t T = in.v.dim(0), H = in.v.dim(1);
  require(is_heads(in.gate, in.v.shape(), in.v.dtype()), kOp, "gate like v", in.gate);
  require(in.step.shape() == Shape{T, H} && in.step.dtype() == in.v.dtype() && in.step.has_row_pitch(), kOp, "step [T, H]", in.step);
  for (const Tensor* t : {&in.step_bias, &in.rate, &in.skip}) require(is_vector(*t, H), kOp, "step_bias, rate, skip [H] f32", *t);
  ctx.backend->mamba2_heads(ctx, in, state, y);
}

void rwkv7_heads(Context& ctx, const Rwkv7Inputs& in, const Tensor& state, const Rwkv7Outputs& out, const Tensor& y) {
  constexpr auto kOp = "rwkv7_heads";
  require(in.heads > 0 && y.rank() == 2 && y.has_row_pitch() && y.dim(1) % in.heads == 0, kOp, "y [T, H·d]", y);
  const int64_t d = y.dim(1) / in.heads;
  require(out.k.raw() == in.k.raw() && out.v.raw() == in.v.raw(), kOp, "outputs of the inputs' k and v", out.k);
  for (const Tensor* t : {&out.q, &in.k, &in.v, &in.rate, &in.kk, &out.g})
    require(same_rows(y, *t), kOp, "q, k, v, rate, kk, g like y", *t);
  require(is_state(state, {in.heads, d, d}, y.dim(0)) && state.dim(-1) == d, kOp, "state [H, d, d] f32", state);
  require(out.u.shape() == Shape{in.heads, d}, kOp, "u [H, d] f32", out.u);
  ctx.backend->rwkv7_heads(ctx, in, state, out, y);
}

}  // namespace linea
