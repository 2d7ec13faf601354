// The CPU backend's ops of recurrent models: the kernels do the work, this file divides it over threads and moves states on.
#include <cstring>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/recurrence_layout.h"

namespace linea {

using namespace cpu;

static_assert(static_cast<int>(Function::kExp) == static_cast<int>(Func::kExp) &&
              static_cast<int>(Function::kSoftplus) == static_cast<int>(Func::kSoftplus) &&
              static_cast<int>(Function::kReluSquared) == static_cast<int>(Func::kReluSquared));

namespace {

constexpr int64_t kScanChannels = 64;  // of one task: their states fit the first-level cache, and vectors stand at fixed places

const char* row_at(const Tensor& x, int64_t row) { return static_cast<const char*>(x.raw()) + row * x.row_pitch() * bytes_of(x.dtype()); }

}  // namespace

void CpuBackend::linear_recurrence(Context&, const Tensor& q, const Tensor& k, const Tensor& v, const RecurrenceArgs& args,
                                   const Tensor& state, const Tensor& y) {
  auto p = recurrence_layout<RecurrenceParams>(q, k, v, args, state, y);
  p.type = element_of(q);
  LINEA_ASSERT(p.key_dim <= kMaxHeadDim);
  parallel_for(v.dim(1), grain_of(p.tokens * p.key_dim * p.value_dim),
               [&](int64_t begin, int64_t end) { kernels_.linear_recurrence(p, begin, end); });
}

void CpuBackend::selective_scan(Context&, const Tensor& x, const SelectiveScanArgs& args, const Tensor& state, const Tensor& y) {
  const SelectiveScanParams p = {.x = x.raw(),
                                 .B = args.B.raw(),
                                 .C = args.c.raw(),
                                 .delta = floats(args.delta),
                                 .A = floats(args.A),
                                 .D = floats(args.D),
                                 .state = state.data<float>(),
                                 .y = y.raw(),
                                 .x_pitch = x.row_pitch(),
                                 .delta_pitch = args.delta.row_pitch(),
                                 .B_pitch = args.B.row_pitch(),
                                 .C_pitch = args.c.row_pitch(),
                                 .y_pitch = y.row_pitch(),
                                 .tokens = x.dim(0),
                                 .states = args.A.dim(0),
                                 .dim = x.dim(1),
                                 .type = element_of(x)};
  LINEA_ASSERT(p.states <= kMaxHeadDim);
  parallel_for(ceil_div(p.dim, kScanChannels), grain_of(kScanChannels * p.tokens * p.states), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      kernels_.selective_scan(p, i * kScanChannels, std::min(p.dim, (i + 1) * kScanChannels));
    }
  });
}

void CpuBackend::weighted_average(Context&, const Tensor& k, const Tensor& v, const Tensor& log_decay, const Tensor& u, const Tensor& state,
                                  const Tensor& y) {
  const WeightedAverageParams p = {.k = k.raw(),
                                   .v = v.raw(),
                                   .log_decay = floats(log_decay),
                                   .u = floats(u),
                                   .state = state.data<float>(),
                                   .y = y.raw(),
                                   .k_pitch = k.row_pitch(),
                                   .v_pitch = v.row_pitch(),
                                   .y_pitch = y.row_pitch(),
                                   .tokens = k.dim(0),
                                   .dim = k.dim(1),
                                   .type = element_of(k)};
  parallel_for(ceil_div(p.dim, kScanChannels), grain_of(kScanChannels * p.tokens * 8), [&](int64_t begin, int64_t end) {
    kernels_.weighted_average(p, begin * kScanChannels, std::min(p.dim, end * kScanChannels));
  });
}

void CpuBackend::causal_conv1d(Context&, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state, const Tensor& y,
                               Activation activation) {
  const CausalConvParams p = {.x = x.raw(),
                              .w = floats(w),
                              .bias = floats(bias),
                              .state = floats(state),
                              .y = y.raw(),
                              .x_pitch = x.row_pitch(),
                              .y_pitch = y.row_pitch(),
                              .taps = w.dim(0),
                              .dim = w.dim(1),
                              .act = act_of(activation),
                              .type = element_of(x)};
  const int64_t tokens = x.dim(0), kept = p.taps - 1;
  parallel_for(tokens, grain_of(p.dim * p.taps), [&](int64_t begin, int64_t end) { kernels_.causal_conv1d(p, begin, end); });
  for (int64_t i = 0; i < kept; ++i) {
    float* to = state.data<float>() + i * p.dim;
    const int64_t t = tokens - kept + i;
    if (t < 0) {
      std::memcpy(to, to + tokens * p.dim, static_cast<size_t>(p.dim) * sizeof(float));
    } else {
      convert_elements(row_at(x, t), x.dtype(), to, DType::kF32, p.dim);
    }
  }
}

void CpuBackend::token_shift(Context&, const Tensor& x, const Tensor& state, const Tensor& y) {
  const int64_t tokens = x.dim(0), dim = x.dim(1);
  const auto row_bytes = static_cast<size_t>(dim * linea::bytes_of(x.dtype()));
  convert_elements(state.raw(), DType::kF32, y.raw(), y.dtype(), dim);
  for (int64_t t = 1; t < tokens; ++t) std::memcpy(const_cast<char*>(row_at(y, t)), row_at(x, t - 1), row_bytes);
  convert_elements(row_at(x, tokens - 1), x.dtype(), state.raw(), DType::kF32, dim);
}

void CpuBackend::lerp(Context&, const Tensor& a, const Tensor& b, const Tensor& m, const Tensor& y) {
  const bool one_row = m.rank() == 1;
  const LerpParams p = {.a = a.raw(),
                        .b = b.raw(),
                        .m = m.raw(),
                        .y = y.raw(),
                        .a_pitch = a.row_pitch(),
                        .b_pitch = b.row_pitch(),
                        .m_pitch = one_row ? 0 : m.row_pitch(),
                        .y_pitch = y.row_pitch(),
                        .dim = y.dim(-1),
                        .m_type = element_of(m),
                        .type = element_of(a),
                        .y_type = element_of(y)};
  parallel_for(y.rows(), grain_of(p.dim), [&](int64_t begin, int64_t end) { kernels_.lerp(p, begin, end); });
}

// The norm and the row before stay in f32: a mix is rounded once, to y's type.
void CpuBackend::mix_with_previous(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state,
                                   std::span<const Mix> mixes) {
  const Arena::Scope scope(*ctx.arena);
  const Tensor h = ctx.allocate(x.shape(), DType::kF32), previous = ctx.allocate(x.shape(), DType::kF32);
  linea::group_norm(ctx, x, w, h, {.bias = bias});
  linea::token_shift(ctx, h, state, previous);
  if (ctx.planning()) return;
  for (const Mix& mix : mixes) lerp(ctx, h, previous, mix.m, mix.y);
}

void CpuBackend::elementwise(Context&, const Tensor& x, const Tensor& y, const ElementwiseArgs& args) {
  const ElementwiseParams p = {.x = x.raw(),
                               .residual = args.residual.raw(),
                               .bias = floats(args.bias),
                               .scale = floats(args.scale),
                               .y = y.raw(),
                               .x_pitch = x.row_pitch(),
                               .residual_pitch = args.residual.defined() ? args.residual.row_pitch() : 0,
                               .y_pitch = y.row_pitch(),
                               .dim = y.dim(-1),
                               .function = static_cast<Func>(args.function),
                               .x_type = element_of(x),
                               .y_type = element_of(y)};
  parallel_for(y.rows(), grain_of(p.dim), [&](int64_t begin, int64_t end) { kernels_.elementwise(p, begin, end); });
}

void CpuBackend::group_norm(Context&, const Tensor& x, const Tensor& w, const Tensor& y, const GroupNormArgs& args) {
  const cpu::GroupNormParams p = {.x = x.raw(),
                                  .w = floats(w),
                                  .bias = floats(args.bias),
                                  .y = y.raw(),
                                  .x_pitch = x.row_pitch(),
                                  .y_pitch = y.row_pitch(),
                                  .groups = args.groups,
                                  .group_size = y.dim(-1) / args.groups,
                                  .eps = args.eps,
                                  .centre = args.centre,
                                  .x_type = element_of(x),
                                  .y_type = element_of(y)};
  parallel_for(y.rows(), grain_of(y.dim(-1)), [&](int64_t begin, int64_t end) { kernels_.group_norm(p, begin, end); });
}

void CpuBackend::normalize_heads(Context&, const Tensor& x, const Tensor& w, const Tensor& y, int64_t heads, float eps) {
  const NormalizeHeadsParams p = {.x = x.raw(),
                                  .w = floats(w),
                                  .y = y.raw(),
                                  .x_pitch = x.row_pitch(),
                                  .y_pitch = y.row_pitch(),
                                  .heads = heads,
                                  .head_dim = y.dim(-1) / heads,
                                  .eps = eps,
                                  .type = element_of(y)};
  parallel_for(y.rows(), grain_of(y.dim(-1)), [&](int64_t begin, int64_t end) { kernels_.normalize_heads(p, begin, end); });
}

void CpuBackend::add_bonus(Context&, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& u, const Tensor& y) {
  const BonusParams p = {.q = q.raw(),
                         .k = k.raw(),
                         .v = v.raw(),
                         .u = floats(u),
                         .y = y.raw(),
                         .q_pitch = q.row_pitch(),
                         .k_pitch = k.row_pitch(),
                         .v_pitch = v.row_pitch(),
                         .y_pitch = y.row_pitch(),
                         .heads = u.dim(0),
                         .head_dim = u.dim(1),
                         .type = element_of(y)};
  parallel_for(y.rows(), grain_of(y.dim(-1)), [&](int64_t begin, int64_t end) { kernels_.add_bonus(p, begin, end); });
}

}  // namespace linea
