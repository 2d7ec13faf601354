#include "kernels/bench/sana_cases.h"

#include <cmath>

#include "core/checkpoint.h"
#include "kernels/backend.h"

namespace linea::bench {
namespace {

double number(int64_t n) { return static_cast<double>(n); }

// Operands of cases: random, so that no shortcut of the processor for zeros or subnormals flatters the times.
class Operands {
 public:
  explicit Operands(Context& ctx) : ctx_(ctx) {}

  Tensor random(Shape shape, DType dtype) {
    return Checkpoint::random().load("operand " + std::to_string(count_++), shape, dtype).to(ctx_.backend->device());
  }
  Tensor activations(Shape shape) { return random(shape, ctx_.dtype); }
  Tensor parameters(Shape shape) { return random(shape, DType::kF32); }
  Tensor output(Shape shape) {
    const Tensor y(shape, ctx_.dtype, ctx_.backend->device());
    return y;
  }

 private:
  Context& ctx_;
  int count_ = 0;
};

std::string size_text(const Shape& shape) {
  std::string text;
  for (int i = 0; i < shape.rank(); ++i) text += (i ? "×" : "") + std::to_string(shape[i]);
  return text;
}

Case linear_case(Context& ctx, Operands& make, const std::string& name, int count, Shape rows, int64_t in, int64_t out,
                 Activation activation, bool residual, bool gated, Weight (*prepare)(Context&, const Tensor&) = prepare_linear) {
  Shape x_shape = rows, y_shape = rows;
  x_shape.push_back(in);
  y_shape.push_back(out);
  const Tensor x = make.activations(x_shape), y = residual ? make.activations(y_shape) : make.output(y_shape);
  const Tensor matrix = make.activations({out, in});
  const Weight w = prepare(ctx, matrix);
  LinearArgs args;
  args.bias = make.parameters({out});
  args.activation = activation;
  if (residual) args.residual = y;
  if (gated) args.gate = make.parameters({rows[0], out});
  return {name + " " + size_text(rows) + "×" + std::to_string(in) + "→" + std::to_string(out),
          count,
          2.0 * number(rows.elements() * in * out),
          number(x.bytes() + (residual ? 2 : 1) * y.bytes() + matrix.bytes()),
          false,
          [&ctx, x, w, y, args] { linear(ctx, x, w, y, args); }};
}

Case conv_case(Context& ctx, Operands& make, const std::string& name, int count, int64_t size, int64_t in, int64_t out, bool enlarged,
               Activation activation, bool residual) {
  const int64_t out_size = enlarged ? 2 * size : size;
  const Tensor x = make.activations({1, size, size, in}), bank = make.activations({out, in, 3, 3});
  const Tensor y = make.output({1, out_size, out_size, out});
  const Weight w = prepare_conv2d(ctx, bank);
  Conv2dArgs args;
  args.bias = make.parameters({out});
  args.activation = activation;
  args.upsample_nearest = enlarged;
  if (residual) args.residual = make.activations(y.shape());
  // An enlarged map's floor is that of the four 2×2 convolutions of the small one.
  const double taps = enlarged ? 4 : 9;
  return {name + " " + std::to_string(size) + "² " + std::to_string(in) + "→" + std::to_string(out),
          count,
          2.0 * taps * number(out_size * out_size * in * out),
          number(x.bytes() + (residual ? 2 : 1) * y.bytes() + bank.bytes()),
          false,
          [&ctx, x, w, y, args] { conv2d(ctx, x, w, y, args); }};
}

Case depthwise_case(Context& ctx, Operands& make, int count, Shape map, int64_t kernel, bool gated) {
  Shape out = map;
  if (gated) out[-1] /= 2;
  const Tensor x = make.activations(map), w = make.parameters({kernel, kernel, map[-1]}), y = make.output(out);
  DepthwiseArgs args;
  args.bias = make.parameters({map[-1]});
  args.gated = gated;
  return {std::string(gated ? "gated " : "") + "depthwise " + std::to_string(kernel) + "² " + size_text(map),
          count,
          2.0 * number(kernel * kernel * map.elements()),
          number(x.bytes() + y.bytes()),
          true,
          [&ctx, x, w, y, args] { depthwise_conv2d(ctx, x, w, y, args); }};
}

Case linear_attention_case(Context& ctx, Operands& make, int count, int64_t batch, int64_t tokens, int64_t heads, bool interleaved) {
  constexpr int64_t kDim = 32;
  const Tensor qkv = make.activations(interleaved ? Shape{batch, tokens, heads, 3 * kDim} : Shape{batch, tokens, 3, heads * kDim});
  const auto part = [&](int64_t i) {
    return interleaved ? qkv.slice(3, i * kDim, kDim) : qkv.select(2, i).reshape({batch, tokens, heads, kDim});
  };
  const Tensor q = part(0), k = part(1), v = part(2), y = make.output({batch, tokens, heads, kDim});
  return {"linear attention " + size_text(q.shape()),
          count,
          4.0 * number(q.elements() * (kDim + 1)),
          number(qkv.bytes() + y.bytes()),
          true,
          [&ctx, q, k, v, y] { relu_linear_attention(ctx, q, k, v, y); }};
}

}  // namespace

std::vector<Case> transformer_step(Context& ctx, const TransformerShape& s) {
  Operands make(ctx);
  const int64_t tokens = s.height * s.width;
  const int layers = static_cast<int>(s.layers);
  const Shape rows = {s.batch, tokens};
  std::vector<Case> cases;

  const Tensor x = make.activations({s.batch, tokens, s.dim}), table = make.parameters({s.batch, 6, s.dim}), y = make.output(x.shape());
  cases.push_back({"modulated layer norm " + size_text(x.shape()), 2 * layers, 8.0 * number(x.elements()), number(x.bytes() + y.bytes()),
                   true, [&ctx, x, table, y] { modulated_layer_norm(ctx, x, table.select(1, 1), table.select(1, 0), y, 1e-6f); }});
  cases.push_back(
      linear_case(ctx, make, "q, k, v, cross q", 4 * layers, rows, s.dim, s.dim, Activation::kNone, false, false, prepare_packed_linear));
  cases.push_back(linear_attention_case(ctx, make, layers, s.batch, tokens, s.heads, false));
  cases.push_back(linear_case(ctx, make, "attention out, gate, residual", layers, rows, s.dim, s.dim, Activation::kNone, true, true,
                              prepare_packed_linear));

  const int64_t head_dim = s.dim / s.cross_heads;
  const Tensor q = make.activations({s.batch, tokens, s.cross_heads, head_dim}),
               k = make.activations({s.batch * s.text_tokens, s.cross_heads, head_dim}), v = make.activations(k.shape()),
               attended = make.output(q.shape());
  AttentionArgs attention;
  attention.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  cases.push_back({"cross attention " + size_text(q.shape()) + " on " + std::to_string(s.text_tokens), layers,
                   4.0 * number(q.elements() * s.text_tokens), number(2 * q.bytes() + 2 * k.bytes()), true,
                   [&ctx, q, k, v, attended, attention] { softmax_attention(ctx, q, k, v, attended, attention); }});
  cases.push_back(
      linear_case(ctx, make, "cross out, residual", layers, rows, s.dim, s.dim, Activation::kNone, true, false, prepare_packed_linear));
  cases.push_back(
      linear_case(ctx, make, "inverted, SiLU", layers, rows, s.dim, 2 * s.hidden, Activation::kSilu, false, false, prepare_packed_linear));
  cases.push_back(depthwise_case(ctx, make, layers, {s.batch, s.height, s.width, 2 * s.hidden}, 3, true));
  cases.push_back(
      linear_case(ctx, make, "point, gate, residual", layers, rows, s.hidden, s.dim, Activation::kNone, true, true, prepare_packed_linear));
  cases.push_back(linear_case(ctx, make, "time to modulation", 1, {s.batch}, s.dim, 6 * s.dim, Activation::kNone, false, false));
  return cases;
}

DecoderShape built_in_decoder() { return {512, {32, 64, 128, 256, 256, 256}, 3, 2}; }
DecoderShape dc_ae_decoder(int64_t size) { return {size, {128, 256, 512, 512, 1024, 1024}, 3, 3}; }

std::vector<Case> decoder_picture(Context& ctx, const DecoderShape& s) {
  Operands make(ctx);
  std::vector<Case> cases;
  for (int stage = static_cast<int>(s.channels.size()) - 1; stage >= 0; --stage) {
    const auto i = static_cast<size_t>(stage);
    const int64_t size = s.size >> stage, c = s.channels[i];
    if (i + 1 < s.channels.size()) {
      cases.push_back(conv_case(ctx, make, "enlarge, conv", 1, size / 2, s.channels[i + 1], c, true, Activation::kNone, false));
      const Tensor x = make.activations({1, size / 2, size / 2, s.channels[i + 1]}), y = make.activations({1, size, size, c});
      cases.push_back({"upsample shortcut " + size_text(y.shape()), 1, number(y.elements()), number(x.bytes() + 2 * y.bytes()), true,
                       [&ctx, x, y] { add_upsample_shortcut(ctx, x, y); }});
    }
    const Tensor x = make.activations({size * size, c}), y = make.output({size * size, c}), w = make.parameters({c}),
                 bias = make.parameters({c});
    const bool attention = stage >= s.attention_from;
    cases.push_back({"rms norm, residual " + size_text(x.shape()), (attention ? 2 : 1) * s.blocks, 6.0 * number(x.elements()),
                     number(3 * x.bytes()), true, [&ctx, x, w, y, bias] { rms_norm(ctx, x, w, y, {.bias = bias, .residual = x}); }});
    if (!attention) {
      cases.push_back(conv_case(ctx, make, "conv, SiLU", s.blocks, size, c, c, false, Activation::kSilu, false));
      cases.push_back(conv_case(ctx, make, "conv", s.blocks, size, c, c, false, Activation::kNone, false));
      continue;
    }
    const Shape rows = {1, size * size};
    cases.push_back(linear_case(ctx, make, "q, k, v", 3 * s.blocks, rows, c, c, Activation::kNone, false, false));
    cases.push_back(depthwise_case(ctx, make, s.blocks, {1, size, size, 3 * c}, 5, false));
    const Tensor z = make.activations({size * size, 3 * c}), groups = make.parameters({3 * c, 32}), grouped = make.output(z.shape());
    cases.push_back({"grouped linear " + size_text(z.shape()), s.blocks, 64.0 * number(z.elements()), number(2 * z.bytes()), true,
                     [&ctx, z, groups, grouped] { grouped_linear(ctx, z, groups, grouped); }});
    cases.push_back(linear_attention_case(ctx, make, s.blocks, 1, size * size, 2 * c / 32, true));
    cases.push_back(linear_case(ctx, make, "attention out", s.blocks, rows, 2 * c, c, Activation::kNone, false, false));
    cases.push_back(linear_case(ctx, make, "inverted, SiLU", s.blocks, rows, c, 8 * c, Activation::kSilu, false, false));
    cases.push_back(depthwise_case(ctx, make, s.blocks, {1, size, size, 8 * c}, 3, true));
    cases.push_back(linear_case(ctx, make, "point", s.blocks, rows, 4 * c, c, Activation::kNone, false, false));
  }
  cases.push_back(conv_case(ctx, make, "conv to pixels", 1, s.size, s.channels[0], 3, false, Activation::kNone, false));
  return cases;
}

}  // namespace linea::bench
