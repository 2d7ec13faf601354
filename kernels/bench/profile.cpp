#include "kernels/bench/profile.h"

#include <algorithm>

namespace linea::bench {
namespace {

double number(int64_t n) { return static_cast<double>(n); }

double bytes_of_all(std::initializer_list<const Tensor*> tensors) {
  double bytes = 0;
  for (const Tensor* t : tensors) bytes += t->defined() ? number(t->bytes()) : 0;
  return bytes;
}

// As they lie on the device, where they lie as a tensor.
double weight_bytes(const Weight& w, DType dtype) {
  return number(w.data.defined() ? w.data.bytes() : w.shape.elements() * bytes_of(dtype));
}

std::string text(const Tensor& t) {
  std::string all;
  for (int i = 0; i < t.rank(); ++i) all += (i ? "×" : " ") + std::to_string(t.dim(i));
  return all;
}

std::string matrix_text(const Tensor& x, const Weight& w) {
  return " " + std::to_string(x.rows()) + "×" + std::to_string(w.shape[1]) + "→" + std::to_string(w.shape[0]);
}

}  // namespace

template <class Run> void ProfilingBackend::timed(Context& ctx, Call call, const Run& run) {
  if (ctx.planning()) return run();
  const int index = static_cast<int>(calls_.size()), parent = open_;
  call.parent = parent;
  call.begin = inner_.mark_time();
  calls_.push_back(std::move(call));
  open_ = index;
  run();
  open_ = parent;
  calls_[static_cast<size_t>(index)].end = inner_.mark_time();
}

std::vector<OpTotal> ProfilingBackend::take() {
  inner_.synchronize();
  std::vector<double> seconds;
  for (const Call& call : calls_) seconds.push_back(call.begin->seconds_until(*call.end));
  for (size_t i = 0; i < calls_.size(); ++i) {
    if (calls_[i].parent >= 0) seconds[static_cast<size_t>(calls_[i].parent)] -= calls_[i].begin->seconds_until(*calls_[i].end);
  }
  std::vector<OpTotal> totals;
  std::map<std::string, size_t> places;
  for (size_t i = 0; i < calls_.size(); ++i) {
    const Call& call = calls_[i];
    const auto [place, is_new] = places.emplace(call.name, totals.size());
    if (is_new) totals.push_back({call.name, 0, 0, 0, 0, call.f32_math});
    OpTotal& total = totals[place->second];
    ++total.calls;
    total.seconds += seconds[i];
    total.flops += call.flops;
    total.bytes += call.bytes;
  }
  calls_.clear();
  return totals;
}

void ProfilingBackend::linear(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  std::string name = "linear" + matrix_text(x, w);
  if (args.bias.defined()) name += " bias";
  if (args.gate.defined()) name += " gate";
  if (args.residual.defined()) name += " residual";
  const double flops = 2 * number(x.rows()) * number(w.shape.elements());
  timed(ctx, {name, flops, bytes_of_all({&x, &y, &args.residual}) + weight_bytes(w, x.dtype())},
        [&] { inner_.linear(ctx, x, w, y, args); });
}

void ProfilingBackend::grouped_linear(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y) {
  timed(ctx, {"grouped linear" + text(x), 2 * number(x.elements() * w.dim(1)), bytes_of_all({&x, &y, &w}), true},
        [&] { inner_.grouped_linear(ctx, x, w, y); });
}

void ProfilingBackend::conv2d(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args) {
  // An enlarged map needs the four 2×2 convolutions of the small one.
  const double taps = args.upsample_nearest ? 4 : number(w.shape[2] * w.shape[3]);
  timed(ctx,
        {(args.upsample_nearest ? "enlarge, conv" : "conv") + text(x) + "→" + std::to_string(w.shape[0]),
         2 * taps * number(y.elements() * w.shape[1]), bytes_of_all({&x, &y, &args.residual}) + weight_bytes(w, x.dtype())},
        [&] { inner_.conv2d(ctx, x, w, y, args); });
}

void ProfilingBackend::depthwise_conv2d(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args) {
  timed(ctx,
        {std::string(args.gated ? "gated " : "") + "depthwise " + std::to_string(w.dim(0)) + "²" + text(x),
         2 * number(w.dim(0) * w.dim(1) * y.rows() * x.dim(3)), bytes_of_all({&x, &y}), true},
        [&] { inner_.depthwise_conv2d(ctx, x, w, y, args); });
}

void ProfilingBackend::expand_depthwise(Context& ctx, const Tensor& x, const Weight& w, const Tensor& filters, const ProductRows& y,
                                        const ExpandArgs& args) {
  const double wide = number(y.values.rows() * w.shape[0]);
  timed(ctx,
        {"activated depthwise " + std::to_string(filters.dim(0)) + "²" + text(y.values), 2 * number(filters.dim(0) * filters.dim(1)) * wide,
         wide * number(bytes_of(ctx.dtype)) + bytes_of_all({&y.values}), true},
        [&] { inner_.expand_depthwise(ctx, x, w, filters, y, args); });
}

void ProfilingBackend::modulated_layer_norm(Context& ctx, const Tensor& x, const Tensor& scale, const Tensor& shift, const ProductRows& y,
                                            float eps) {
  timed(ctx, {"modulated layer norm" + text(x), 0, bytes_of_all({&x, &y.values})},
        [&] { inner_.modulated_layer_norm(ctx, x, scale, shift, y, eps); });
}

void ProfilingBackend::rms_norm(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, const RmsNormArgs& args) {
  timed(ctx, {"rms norm" + text(x), 0, bytes_of_all({&x, &y, &args.residual})}, [&] { inner_.rms_norm(ctx, x, w, y, args); });
}

void ProfilingBackend::relu_linear_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& y,
                                             float eps) {
  timed(ctx, {"linear attention" + text(q), 4 * number(q.elements() * (q.dim(3) + 1)), bytes_of_all({&q, &k, &v, &y.values})},
        [&] { inner_.relu_linear_attention(ctx, q, k, v, y, eps); });
}

void ProfilingBackend::softmax_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& y,
                                         const AttentionArgs& args) {
  const double keys = number(k.dim(0)) / number(q.dim(0));
  timed(ctx, {"softmax attention" + text(q), 4 * number(q.elements()) * keys, bytes_of_all({&q, &k, &v, &y.values})},
        [&] { inner_.softmax_attention(ctx, q, k, v, y, args); });
}

void ProfilingBackend::value_bounds(Context& ctx, const Tensor& v, std::span<const int64_t> key_offsets, const Tensor& bounds) {
  timed(ctx, {"value bounds" + text(v), 0, bytes_of_all({&v})}, [&] { inner_.value_bounds(ctx, v, key_offsets, bounds); });
}

void ProfilingBackend::rotary_embedding(Context& ctx, const Tensor& x, int64_t first_position, float theta) {
  timed(ctx, {"rotary embedding" + text(x), 0, bytes_of_all({&x, &x})}, [&] { inner_.rotary_embedding(ctx, x, first_position, theta); });
}

void ProfilingBackend::embedding_lookup(Context& ctx, const Tensor& table, std::span<const int32_t> ids, const Tensor& y, float scale) {
  timed(ctx, {"embedding lookup" + text(y), 0, bytes_of_all({&y, &y})}, [&] { inner_.embedding_lookup(ctx, table, ids, y, scale); });
}

void ProfilingBackend::activate(Context& ctx, const Tensor& x, const Tensor& y, Activation activation) {
  timed(ctx, {"activate" + text(x), 0, bytes_of_all({&x, &y})}, [&] { inner_.activate(ctx, x, y, activation); });
}

void ProfilingBackend::multiply_activated(Context& ctx, const Tensor& gate, const Tensor& up, const Tensor& y, Activation activation) {
  timed(ctx, {"multiply activated" + text(y), 0, bytes_of_all({&gate, &up, &y})},
        [&] { inner_.multiply_activated(ctx, gate, up, y, activation); });
}

void ProfilingBackend::add(Context& ctx, const Tensor& a, const Tensor& b, const Tensor& y) {
  timed(ctx, {"add" + text(y), 0, bytes_of_all({&a, &b, &y})}, [&] { inner_.add(ctx, a, b, y); });
}

void ProfilingBackend::add_rows(Context& ctx, const Tensor& x, const Tensor& rows, const Tensor& y) {
  timed(ctx, {"add rows" + text(y), 0, bytes_of_all({&x, &rows, &y})}, [&] { inner_.add_rows(ctx, x, rows, y); });
}

void ProfilingBackend::cast(Context& ctx, const Tensor& x, const Tensor& y) {
  timed(ctx, {"cast" + text(x), 0, bytes_of_all({&x, &y})}, [&] { inner_.cast(ctx, x, y); });
}

void ProfilingBackend::linear_combination(Context& ctx, std::span<const Term> terms, const Tensor& y) {
  timed(ctx, {"linear combination" + text(y), 0, number(static_cast<int64_t>(terms.size()) + 1) * number(y.bytes())},
        [&] { inner_.linear_combination(ctx, terms, y); });
}

void ProfilingBackend::pixel_shuffle(Context& ctx, const Tensor& x, const Tensor& y) {
  timed(ctx, {"pixel shuffle" + text(x), 0, bytes_of_all({&x, &y})}, [&] { inner_.pixel_shuffle(ctx, x, y); });
}

void ProfilingBackend::pixel_unshuffle(Context& ctx, const Tensor& x, const Tensor& y) {
  timed(ctx, {"pixel unshuffle" + text(x), 0, bytes_of_all({&x, &y})}, [&] { inner_.pixel_unshuffle(ctx, x, y); });
}

void ProfilingBackend::add_downsample_shortcut(Context& ctx, const Tensor& x, const Tensor& y) {
  timed(ctx, {"downsample shortcut" + text(x), 0, bytes_of_all({&x, &y, &y})}, [&] { inner_.add_downsample_shortcut(ctx, x, y); });
}

void ProfilingBackend::add_upsample_shortcut(Context& ctx, const Tensor& x, const Tensor& y) {
  timed(ctx, {"upsample shortcut" + text(x), 0, bytes_of_all({&x, &y, &y})}, [&] { inner_.add_upsample_shortcut(ctx, x, y); });
}

void ProfilingBackend::add_channel_mean(Context& ctx, const Tensor& x, const Tensor& y) {
  timed(ctx, {"channel mean" + text(x), 0, bytes_of_all({&x, &y, &y})}, [&] { inner_.add_channel_mean(ctx, x, y); });
}

void ProfilingBackend::add_channel_repeat(Context& ctx, const Tensor& x, const Tensor& y) {
  timed(ctx, {"channel repeat" + text(x), 0, bytes_of_all({&x, &y, &y})}, [&] { inner_.add_channel_repeat(ctx, x, y); });
}

void ProfilingBackend::linear_recurrence(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const RecurrenceArgs& args,
                                         const Tensor& state, const Tensor& y) {
  const double passes = args.a.defined() ? 8 : 5;  // operations on a cell of the state for each token
  timed(ctx,
        {"recurrence" + text(v), passes * number(q.dim(0) * state.elements()),
         bytes_of_all({&q, &k, &v, &y, &args.a, &args.b, &args.log_decay, &state, &state}), true},
        [&] { inner_.linear_recurrence(ctx, q, k, v, args, state, y); });
}

void ProfilingBackend::selective_scan(Context& ctx, const Tensor& x, const SelectiveScanArgs& args, const Tensor& state, const Tensor& y) {
  timed(ctx,
        {"selective scan" + text(x), 6 * number(x.dim(0) * state.elements()), bytes_of_all({&x, &args.delta, &args.B, &args.c, &y}), true},
        [&] { inner_.selective_scan(ctx, x, args, state, y); });
}

void ProfilingBackend::weighted_average(Context& ctx, const Tensor& k, const Tensor& v, const Tensor& log_decay, const Tensor& u,
                                        const Tensor& state, const Tensor& y) {
  timed(ctx, {"weighted average" + text(k), 0, bytes_of_all({&k, &v, &y})},
        [&] { inner_.weighted_average(ctx, k, v, log_decay, u, state, y); });
}

void ProfilingBackend::causal_conv1d(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state,
                                     const Tensor& y, Activation activation) {
  timed(ctx, {"causal convolution" + text(x), 0, bytes_of_all({&x, &y})},
        [&] { inner_.causal_conv1d(ctx, x, w, bias, state, y, activation); });
}

void ProfilingBackend::token_shift(Context& ctx, const Tensor& x, const Tensor& state, const Tensor& y) {
  timed(ctx, {"token shift" + text(x), 0, bytes_of_all({&x, &y})}, [&] { inner_.token_shift(ctx, x, state, y); });
}

void ProfilingBackend::lerp(Context& ctx, const Tensor& a, const Tensor& b, const Tensor& m, const Tensor& y) {
  timed(ctx, {"lerp" + text(a), 0, bytes_of_all({&a, &b, &m, &y})}, [&] { inner_.lerp(ctx, a, b, m, y); });
}

void ProfilingBackend::elementwise(Context& ctx, const Tensor& x, const Tensor& y, const ElementwiseArgs& args) {
  timed(ctx, {"elementwise" + text(x), 0, bytes_of_all({&x, &y, &args.residual})}, [&] { inner_.elementwise(ctx, x, y, args); });
}

void ProfilingBackend::group_norm(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, const GroupNormArgs& args) {
  timed(ctx, {"group norm" + text(x), 0, bytes_of_all({&x, &y})}, [&] { inner_.group_norm(ctx, x, w, y, args); });
}

void ProfilingBackend::normalize_heads(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, int64_t heads, float eps) {
  timed(ctx, {"normalize heads" + text(x), 0, bytes_of_all({&x, &y})}, [&] { inner_.normalize_heads(ctx, x, w, y, heads, eps); });
}

void ProfilingBackend::add_bonus(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& u, const Tensor& y) {
  timed(ctx, {"bonus" + text(y), 0, bytes_of_all({&q, &k, &v, &y, &y})}, [&] { inner_.add_bonus(ctx, q, k, v, u, y); });
}

void ProfilingBackend::project(Context& ctx, std::span<const Projection> projections) {
  Call call = {"project"};
  for (const Projection& p : projections) {
    call.name += matrix_text(p.x, *p.w);
    call.flops += 2 * number(p.x.rows() * p.w->shape.elements());
    call.bytes += bytes_of_all({&p.x, &p.y, &p.residual}) + weight_bytes(*p.w, p.x.dtype());
  }
  timed(ctx, std::move(call), [&] { inner_.project(ctx, projections); });
}

void ProfilingBackend::mix_with_previous(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state,
                                         std::span<const Mix> mixes) {
  Call call = {"mix with previous" + text(x), 0, bytes_of_all({&x})};
  for (const Mix& mix : mixes) call.bytes += bytes_of_all({&mix.y});
  timed(ctx, std::move(call), [&] { inner_.mix_with_previous(ctx, x, w, bias, state, mixes); });
}

void ProfilingBackend::rwkv7_inputs(Context& ctx, const Rwkv7Inputs& in) {
  const double bytes = bytes_of_all({&in.k, &in.v, &in.rate, &in.decay, &in.k, &in.v, &in.rate, &in.decay, &in.kk, &in.v_first, &in.share});
  timed(ctx, {"RWKV-7 inputs" + text(in.k), 0, bytes}, [&] { inner_.rwkv7_inputs(ctx, in); });
}

void ProfilingBackend::rwkv7_outputs(Context& ctx, const Rwkv7Outputs& args, const Tensor& y) {
  timed(ctx, {"RWKV-7 outputs" + text(y), 0, bytes_of_all({&args.q, &args.k, &args.v, &args.g, &y, &y})},
        [&] { inner_.rwkv7_outputs(ctx, args, y); });
}

void ProfilingBackend::mamba2_heads(Context& ctx, const Mamba2Heads& in, const Tensor& state, const Tensor& y) {
  timed(ctx, {"Mamba-2 heads" + text(y), 0, bytes_of_all({&in.q, &in.k, &in.v, &in.gate, &y, &state, &state})},
        [&] { inner_.mamba2_heads(ctx, in, state, y); });
}

void ProfilingBackend::rwkv7_heads(Context& ctx, const Rwkv7Inputs& in, const Tensor& state, const Rwkv7Outputs& out, const Tensor& y) {
  const double bytes = bytes_of_all({&out.q, &in.k, &in.v, &in.rate, &in.decay, &in.v_first, &in.share, &out.g, &y, &state, &state});
  timed(ctx, {"RWKV-7 heads" + text(y), 0, bytes}, [&] { inner_.rwkv7_heads(ctx, in, state, out, y); });
}

}  // namespace linea::bench
