#include "kernels/glu_mbconv.h"

#include <algorithm>

namespace linea {
namespace {

constexpr int64_t kStripBytes = int64_t{384} << 20;

}  // namespace

GluMbConv GluMbConv::load(const WeightLoader& w, int64_t channels, int64_t hidden) {
  return {w.pointwise("conv_inverted.weight", 2 * hidden, channels), w.vector("conv_inverted.bias", {2 * hidden}),
          w.depthwise("conv_depth.weight", 2 * hidden, 3), w.vector("conv_depth.bias", {2 * hidden}),
          w.pointwise("conv_point.weight", channels, hidden)};
}

void glu_mbconv(Context& ctx, const GluMbConv& w, const ProductRows& x, const Tensor& y, const LinearArgs& last) {
  const int64_t batch = y.dim(0), height = y.dim(1), width = y.dim(2), hidden = w.point.shape[1];

  // Rows [first, end) of the hidden map's gated half of some members, from the
  // input's same rows and one more on either side where there is one.
  const auto expand = [&](int64_t member, int64_t members, int64_t first, int64_t end, const ProductRows& v) {
    const int64_t above = std::max<int64_t>(first - 1, 0), below = std::min(end + 1, height);
    const ProductRows input = x.slice(0, member, members).slice(1, above, below - above);
    expand_depthwise(ctx, input.values, w.inverted, w.depthwise, v,
                     {.bias = w.inverted_bias,
                      .activation = Activation::kSilu,
                      .x_scales = input.scales,
                      .depthwise = {.bias = w.depthwise_bias, .gated = true, .pad_top = first == 0, .pad_bottom = end == height}});
  };
  const int64_t row_bytes = width * 2 * hidden * bytes_of(y.dtype()), member_bytes = height * row_bytes;
  const Arena::Scope scope(*ctx.arena);
  if (member_bytes <= kStripBytes) {
    const ProductRows v = rows_for(w.point, ctx.allocate({batch, height, width, hidden}));
    const int64_t together = batch * member_bytes <= kStripBytes ? batch : 1;
    for (int64_t b = 0; b < batch; b += together) expand(b, together, 0, height, v.slice(0, b, together));
    LinearArgs args = last;
    args.x_scales = v.scales;
    return linear(ctx, v.values, w.point, y, args);
  }
  const int64_t strip = std::max<int64_t>(kStripBytes / row_bytes, 1);
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t first = 0; first < height; first += strip) {
      const Arena::Scope strip_scope(*ctx.arena);
      const int64_t count = std::min(strip, height - first);
      const auto rows = [&](const Tensor& t) { return t.slice(0, b, 1).slice(1, first, count); };
      const ProductRows v = rows_for(w.point, ctx.allocate({1, count, width, hidden}));
      expand(b, 1, first, first + count, v);
      LinearArgs args = last;
      args.x_scales = v.scales;
      if (last.residual.defined()) args.residual = rows(last.residual);
      if (last.gate.defined() && last.gate.dim(0) > 1) args.gate = last.gate.slice(0, b, 1);
      linear(ctx, v.values, w.point, rows(y), args);
    }
  }
}

}  // namespace linea
