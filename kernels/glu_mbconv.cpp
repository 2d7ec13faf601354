#include "kernels/glu_mbconv.h"

#include <algorithm>

namespace linea {
namespace {

constexpr int64_t kStripBytes = int64_t{256} << 20;

}  // namespace

GluMbConv GluMbConv::load(const WeightLoader& w, int64_t channels, int64_t hidden) {
  return {w.pointwise("conv_inverted.weight", 2 * hidden, channels), w.vector("conv_inverted.bias", {2 * hidden}),
          w.depthwise("conv_depth.weight", 2 * hidden, 3), w.vector("conv_depth.bias", {2 * hidden}),
          w.pointwise("conv_point.weight", channels, hidden)};
}

void glu_mbconv(Context& ctx, const GluMbConv& w, const Tensor& x, const Tensor& y, const LinearArgs& last) {
  const int64_t batch = x.dim(0), height = x.dim(1), width = x.dim(2), hidden = w.point.shape[1];

  // Rows [first, end) of some members, from the input's same rows and one more on either side where there is one.
  const auto compute = [&](int64_t member, int64_t members, int64_t first, int64_t end) {
    const Arena::Scope scope(*ctx.arena);
    const int64_t above = std::max<int64_t>(first - 1, 0), below = std::min(end + 1, height);
    const auto rows = [&](const Tensor& t, int64_t from, int64_t to) { return t.slice(0, member, members).slice(1, from, to - from); };
    const Tensor v = ctx.allocate({members, end - first, width, hidden});
    expand_depthwise(ctx, rows(x, above, below), w.inverted, w.depthwise, v,
                     {.bias = w.inverted_bias,
                      .activation = Activation::kSilu,
                      .depthwise = {.bias = w.depthwise_bias, .gated = true, .pad_top = first == 0, .pad_bottom = end == height}});
    LinearArgs args = last;
    if (last.residual.defined()) args.residual = rows(last.residual, first, end);
    if (last.gate.defined()) args.gate = last.gate.slice(0, member, members);
    linear(ctx, v, w.point, rows(y, first, end), args);
  };

  const int64_t row_bytes = width * 2 * hidden * bytes_of(x.dtype());
  if (batch * height * row_bytes <= kStripBytes) return compute(0, batch, 0, height);
  const int64_t strip = std::max<int64_t>(kStripBytes / row_bytes, 1);
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t first = 0; first < height; first += strip) compute(b, 1, first, std::min(first + strip, height));
  }
}

}  // namespace linea
