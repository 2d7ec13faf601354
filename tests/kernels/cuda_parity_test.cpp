// Every op on the first CUDA device against the CPU backend: the same inputs, shapes that do and do not fill tiles and vectors, outputs
// that are views of wider tensors.
#include "tests/kernels/cuda_parity.h"

#include <cstring>

#include "core/error.h"

namespace linea::test {
namespace {

INSTANTIATE_TEST_SUITE_P(Cuda, CudaParity, ::testing::Values(DType::kF32, DType::kBF16, DType::kF16), name_of_type);

TEST_P(CudaParity, Linear) {
  for (const auto& [rows, in, out] : {std::array<int64_t, 3>{1, 32, 64}, {6, 256, 192}, {150, 72, 136}, {35, 50, 33}, {260, 64, 3}}) {
    const std::array<Weight, 2> w = linear_weight(out, in);
    const Pair x = pitched({rows, in}), bias = floats({out}), residual = random({rows, out});
    const int64_t members = rows % 2 == 0 ? 2 : 1;
    const Pair gate = floats({members, 2 * out}).slice(1, out, out);
    for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kSilu, Activation::kGeluTanh}) {
      for (const bool has_bias : {false, true}) {
        for (const int ending : {0, 1, 2, 3}) {  // nothing, residual, gate and residual, the residual is y
          const Pair y = ending == 3 ? random({rows, out}) : pitched_output({rows, out});
          run([&](Context& ctx, int side) {
            LinearArgs args = {.activation = activation};
            if (has_bias) args.bias = bias[side];
            if (ending > 0) args.residual = ending == 3 ? y[side] : residual[side];
            if (ending == 2) args.gate = gate[side];
            linear(ctx, x[side], w[static_cast<size_t>(side)], y[side], args);
          });
          expect_close(y, "linear " + std::to_string(rows) + "x" + std::to_string(in) + "x" + std::to_string(out) + " activation " +
                              std::to_string(static_cast<int>(activation)) + " ending " + std::to_string(ending));
        }
      }
    }
  }
}

// Rows of weights and activations as e4m3: every value loses up to 2^-4 of itself, about 2.6 % in the mean square, and so does a product of
// random ones, √2 times. Members still do not see each other.
TEST_P(CudaParity, Fp8Linear) {
  Context cpu = context(0), ctx = context(1);
  if (!ctx.backend->multiplies_fp8()) GTEST_SKIP() << "no FP8 products on this device";
  if (dtype() == DType::kF32) GTEST_SKIP() << "FP8 products have 16-bit results";
  ctx.fp8 = true;
  const int64_t in = 640, out = 528;
  const Tensor matrix = random_tensor({out, in}, 77, dtype(), 1 / std::sqrt(static_cast<float>(in)));
  const Weight plain = prepare_linear(cpu, matrix), narrow = prepare_linear(ctx, matrix);
  ASSERT_EQ(narrow.data.dtype(), DType::kF8E4M3);
  const Pair x = random({2, 300, in}), bias = floats({out}), gate = floats({2, out});
  for (const bool gated : {false, true}) {
    const Pair y = random({2, 300, out}), one = output({1, 300, out});
    const auto args = [&](int side, const Tensor& target) {
      return gated ? LinearArgs{.bias = bias[side], .residual = target, .gate = gate[side]} : LinearArgs{.bias = bias[side]};
    };
    linear(cpu, x[0], plain, y[0], args(0, y[0]));
    linear(ctx, x[1], narrow, y[1], args(1, y[1]));
    EXPECT_LE(relative_l2(y[1].to(kCpuDevice), y[0]), 0.05) << "gated " << gated;
    if (gated) continue;
    for (int64_t b = 0; b < 2; ++b) {
      linear(ctx, x[1].slice(0, b, 1), narrow, one[1], args(1, one[1]));
      expect_same_bits(one[1], y[1].slice(0, b, 1), "member " + std::to_string(b));
    }
  }
}

TEST_P(CudaParity, LinearDoesNotDependOnOtherMembers) {
  const std::array<Weight, 2> w = linear_weight(128, 192);
  const Pair x = random({3, 200, 192}), y = output({3, 200, 128}), one = output({1, 200, 128});
  Context ctx = context(1);
  linear(ctx, x[1], w[1], y[1]);
  for (int64_t b = 0; b < 3; ++b) {
    linear(ctx, x[1].slice(0, b, 1), w[1], one[1]);
    expect_same_bits(one[1], y[1].slice(0, b, 1), "member " + std::to_string(b));
  }
}

TEST_P(CudaParity, Conv2d) {
  struct Case {
    int64_t batch, height, width, in, out, kernel;
    Conv2dArgs args;
  };
  const Conv2dArgs plain{}, strided{.stride = 2}, enlarged{.upsample_nearest = true}, inner{.pad_top = 0, .pad_bottom = 0};
  const Conv2dArgs inner_enlarged{.upsample_nearest = true, .pad_top = 0, .pad_bottom = 1},
      inner_strided{.stride = 2, .pad_top = 0, .pad_bottom = 0};
  for (const Case& c : {Case{1, 9, 7, 3, 16, 3, plain},
                        {2, 8, 10, 32, 40, 3, plain},
                        {1, 13, 11, 72, 130, 3, plain},
                        {1, 6, 6, 16, 3, 3, plain},
                        {1, 12, 10, 24, 32, 3, strided},
                        {2, 9, 12, 8, 20, 3, inner_strided},
                        {1, 7, 5, 32, 24, 3, enlarged},
                        {1, 6, 8, 40, 64, 3, inner_enlarged},
                        {1, 11, 6, 16, 16, 3, inner},
                        {2, 19, 21, 64, 128, 3, plain},  // from here whole tiles of channels
                        {1, 9, 33, 128, 200, 3, inner},
                        {2, 19, 21, 128, 3, 3, inner},
                        {1, 17, 16, 64, 8, 3, plain},
                        {2, 11, 18, 64, 136, 3, enlarged},
                        {1, 10, 17, 128, 64, 3, inner_enlarged},
                        {2, 5, 6, 24, 48, 1, plain},
                        {1, 9, 9, 8, 8, 5, plain}}) {
    if (c.args.upsample_nearest && c.kernel != 3) continue;
    const std::array<Weight, 2> w = conv_weight(c.out, c.in, c.kernel);
    const Pair x = random({c.batch, c.height, c.width, c.in}), bias = floats({c.out});
    const int64_t scale = c.args.upsample_nearest ? 2 : 1, half = c.kernel / 2;
    const int64_t top = c.args.pad_top < 0 ? half : c.args.pad_top, bottom = c.args.pad_bottom < 0 ? half : c.args.pad_bottom;
    const Shape shape{c.batch, (c.height * scale + top + bottom - c.kernel) / c.args.stride + 1,
                      (c.width * scale + 2 * half - c.kernel) / c.args.stride + 1, c.out};
    for (const int ending : {0, 1, 2}) {  // nothing, bias and activation, bias and y as residual
      const Pair y = ending == 2 ? random(shape) : output(shape);
      run([&](Context& ctx, int side) {
        Conv2dArgs args = c.args;
        if (ending > 0) args.bias = bias[side];
        if (ending == 1) args.activation = Activation::kSilu;
        if (ending == 2) args.residual = y[side];
        conv2d(ctx, x[side], w[static_cast<size_t>(side)], y[side], args);
      });
      expect_close(y, "conv2d of " + x[0].describe() + " ending " + std::to_string(ending));
    }
  }
}

TEST_P(CudaParity, StripsOfConvolutionsHaveTheBitsOfTheWhole) {
  for (const auto& [in, out] : {std::array<int64_t, 2>{40, 24}, {64, 128}}) {
    const int64_t height = 21, width = 19;
    const std::array<Weight, 2> w = conv_weight(out, in, 3);
    const Pair x = random({1, height, width, in}), y = output({1, height, width, out}), large = output({1, 2 * height, 2 * width, out});
    const Pair filters = floats({3, 3, in}), z = output({1, height, width, in});
    Context ctx = context(1);
    conv2d(ctx, x[1], w[1], y[1]);
    conv2d(ctx, x[1], w[1], large[1], {.upsample_nearest = true});
    depthwise_conv2d(ctx, x[1], filters[1], z[1]);
    for (const int64_t first : {3, 8}) {
      const int64_t rows = 9;  // of the input: one more on either side than the result has
      const Tensor source = x[1].slice(1, first, rows);
      const Tensor strip({1, rows - 2, width, out}, dtype(), kCuda), large_strip({1, 2 * rows - 2, 2 * width, out}, dtype(), kCuda);
      const Tensor deep_strip({1, rows - 2, width, in}, dtype(), kCuda);
      conv2d(ctx, source, w[1], strip, {.pad_top = 0, .pad_bottom = 0});
      conv2d(ctx, source, w[1], large_strip, {.upsample_nearest = true, .pad_top = 0, .pad_bottom = 0});
      depthwise_conv2d(ctx, source, filters[1], deep_strip, {.pad_top = 0, .pad_bottom = 0});
      expect_same_bits(strip, y[1].slice(1, first + 1, rows - 2), "conv2d");
      expect_same_bits(large_strip, large[1].slice(1, 2 * first + 1, 2 * rows - 2), "enlarged conv2d");
      expect_same_bits(deep_strip, z[1].slice(1, first + 1, rows - 2), "depthwise_conv2d");
    }
  }
}

TEST_P(CudaParity, ExpandDepthwise) {
  const int64_t in = 48;
  for (const int64_t channels : {64, 192}) {
    for (const bool inner : {false, true}) {
      const std::array<Weight, 2> w = linear_weight(channels, in);
      const Pair x = random({2, 37, 21, in}), bias = floats({channels}), filters = floats({3, 3, channels}, 0.3f),
                 last = floats({channels});
      const Pair y = output({2, inner ? 36 : 37, 21, channels / 2});
      run([&](Context& ctx, int side) {
        const DepthwiseArgs depthwise = {.bias = last[side], .gated = true, .pad_top = inner ? 0 : 1, .pad_bottom = 1};
        expand_depthwise(ctx, x[side], w[static_cast<size_t>(side)], filters[side], y[side],
                         {.bias = bias[side], .activation = Activation::kSilu, .depthwise = depthwise});
      });
      expect_close(y, "expand_depthwise C = " + std::to_string(channels));
    }
  }
}

// Maps of several strips of columns, chunks of rows and blocks of channels, the last half full.
TEST_P(CudaParity, GatedDepthwiseOfWideMaps) {
  const int64_t in = 48, channels = 320, height = 41, width = 70;
  const std::array<Weight, 2> w = linear_weight(channels, in);
  const Pair x = random({2, height, width, in}), bias = floats({channels}), filters = floats({3, 3, channels}, 0.3f),
             last = floats({channels});
  const Pair y = output({2, height, width, channels / 2});
  run([&](Context& ctx, int side) {
    expand_depthwise(ctx, x[side], w[static_cast<size_t>(side)], filters[side], y[side],
                     {.bias = bias[side], .activation = Activation::kSilu, .depthwise = {.bias = last[side], .gated = true}});
  });
  expect_close(y, "expand_depthwise");

  const Pair wide = random({2, height, width, channels});
  run([&](Context& ctx, int side) { depthwise_conv2d(ctx, wide[side], filters[side], y[side], {.bias = last[side], .gated = true}); });
  expect_close(y, "depthwise_conv2d");
  Context ctx = context(1);
  for (const int64_t member : {0, 1}) {
    for (const auto& [first, end] : {std::array<int64_t, 2>{0, height}, {0, 19}, {19, 30}, {30, height}}) {
      const int64_t above = std::max<int64_t>(first - 1, 0), below = std::min(end + 1, height);
      const Tensor strip({1, end - first, width, channels / 2}, dtype(), kCuda);
      depthwise_conv2d(ctx, wide[1].slice(0, member, 1).slice(1, above, below - above), filters[1], strip,
                       {.bias = last[1], .gated = true, .pad_top = first == 0, .pad_bottom = end == height});
      expect_same_bits(strip, y[1].slice(0, member, 1).slice(1, first, end - first), "depthwise_conv2d");
    }
  }
}

TEST_P(CudaParity, Depthwise) {
  for (const int64_t channels : {6, 64, 272}) {
    for (const int64_t kernel : {3, 5, 7}) {
      for (const bool gated : {false, true}) {
        for (const int pad : {-1, 0}) {
          const int64_t height = 11, width = 9, lost = pad == 0 ? kernel / 2 * 2 : 0;
          const Pair x = random({2, height, width, channels}), w = floats({kernel, kernel, channels}, 0.3f), bias = floats({channels});
          const Pair y = output({2, height - lost, width, gated ? channels / 2 : channels});
          run([&](Context& ctx, int side) {
            depthwise_conv2d(ctx, x[side], w[side], y[side], {.bias = bias[side], .gated = gated, .pad_top = pad, .pad_bottom = pad});
          });
          expect_close(y, "depthwise_conv2d k = " + std::to_string(kernel) + " C = " + std::to_string(channels));
        }
      }
    }
  }
}

TEST_P(CudaParity, GroupedLinear) {
  for (const int64_t d : {5, 8, 32, 48, 100}) {
    const Pair x = pitched({70, 3 * d}), w = floats({3 * d, d}, 0.3f), y = pitched_output({70, 3 * d});
    run([&](Context& ctx, int side) { grouped_linear(ctx, x[side], w[side], y[side]); });
    expect_close(y, "grouped_linear d = " + std::to_string(d));
  }
}

// Maps whose blocks stay for many rows (one modulation for all members) have the bits that one block a few rows gives.
TEST_P(CudaParity, NormsOfLongMaps) {
  for (const int64_t dim : {1152, 1288, 2240}) {
    constexpr int64_t kMembers = 2, kTokens = 2051;
    const Pair x = pitched({kMembers, kTokens, dim}), modulation = floats({1, 3 * dim}), y = pitched_output({kMembers, kTokens, dim}),
               short_y = output({kMembers, kTokens, dim}), twice = output({kMembers, 2 * dim}, DType::kF32);
    run([&](Context& ctx, int side) {
      modulated_layer_norm(ctx, x[side], modulation[side].slice(1, dim, dim), modulation[side].slice(1, 2 * dim, dim), y[side], 1e-6f);
    });
    expect_close(y, "modulated_layer_norm of long maps, " + std::to_string(dim), 1e-5);
    Context ctx = context(1);
    for (int64_t b = 0; b < kMembers; ++b) cast(ctx, modulation[1].slice(1, dim, 2 * dim), twice[1].slice(0, b, 1));
    modulated_layer_norm(ctx, x[1], twice[1].slice(1, 0, dim), twice[1].slice(1, dim, dim), short_y[1], 1e-6f);
    const Pair dense = output({kMembers, kTokens, dim});
    cast(ctx, y[1], dense[1]);
    expect_same_bits(short_y[1], dense[1], "modulated_layer_norm of long maps, " + std::to_string(dim));
  }
}

TEST_P(CudaParity, Norms) {
  for (const int64_t dim : {1, 37, 64, 2240}) {
    const Pair x = pitched({2, 5, dim}), modulation = floats({2, 3 * dim}), w = floats({dim}), bias = floats({dim});
    const Pair residual = random({2, 5, dim});
    Pair y = pitched_output({2, 5, dim});
    run([&](Context& ctx, int side) {
      modulated_layer_norm(ctx, x[side], modulation[side].slice(1, dim, dim), modulation[side].slice(1, 2 * dim, dim), y[side], 1e-6f);
    });
    expect_close(y, "modulated_layer_norm " + std::to_string(dim), 1e-5);
    for (const bool full : {false, true}) {
      y = pitched_output({2, 5, dim});
      run([&](Context& ctx, int side) {
        RmsNormArgs args = {.eps = 1e-5f, .unit_offset = full};
        if (full) {
          args.bias = bias[side];
          args.activation = Activation::kGeluTanh;
          args.residual = residual[side];
        }
        rms_norm(ctx, x[side], w[side], y[side], args);
      });
      expect_close(y, "rms_norm " + std::to_string(dim), 1e-5);
    }
    const Pair in_place = random({2, 5, dim});
    run([&](Context& ctx, int side) { rms_norm(ctx, in_place[side], w[side], in_place[side], {.residual = in_place[side]}); });
    expect_close(in_place, "rms_norm in place", 1e-5);
  }
}

TEST_P(CudaParity, LinearAttention) {
  for (const int64_t d : {8, 20, 32, 64, 128}) {
    for (const int64_t tokens : {1, 70, 600}) {
      const int64_t heads = 3;
      const auto part = [&](const Pair& qkv, int64_t index) { return qkv.map([&](const Tensor& t) { return t.select(3, index); }); };
      const Pair interleaved = random({2, tokens, heads * 3 * d}).reshape({2, tokens, heads, 3, d});
      const Pair q = part(interleaved, 0), k = part(interleaved, 1), v = part(interleaved, 2);
      const Pair wide = pitched_output({2, tokens, heads * d}), y = wide.reshape({2, tokens, heads, d});
      run([&](Context& ctx, int side) { relu_linear_attention(ctx, q[side], k[side], v[side], y[side]); });
      expect_close(wide, "relu_linear_attention N = " + std::to_string(tokens) + " d = " + std::to_string(d), 1e-5);
    }
  }
}

// As many heads and tokens as a cluster of blocks takes several stages of; what a member gets does not depend on the others.
TEST_P(CudaParity, LinearAttentionOfManyHeads) {
  const int64_t heads = 35, d = 32;
  for (const int64_t tokens : {129, 1024, 1025, 2500, 5003}) {
    const auto part = [&](const Pair& qkv, int64_t index) { return qkv.map([&](const Tensor& t) { return t.select(2, index); }); };
    const Pair together = random({2, tokens, 3 * heads * d}).reshape({2, tokens, 3, heads, d});
    const Pair q = part(together, 0), k = part(together, 1), v = part(together, 2);
    const Pair wide = output({2, tokens, heads * d}), y = wide.reshape({2, tokens, heads, d}), alone = output({1, tokens, heads, d});
    run([&](Context& ctx, int side) { relu_linear_attention(ctx, q[side], k[side], v[side], y[side]); });
    expect_close(wide, "relu_linear_attention of 35 heads, N = " + std::to_string(tokens), 1e-5);
    for (int64_t b = 0; b < 2; ++b) {
      Context ctx = context(1);
      const auto own = [&](const Pair& x) { return x[1].slice(0, b, 1); };
      relu_linear_attention(ctx, own(q), own(k), own(v), alone[1]);
      expect_same_bits(alone[1], own(y), "member " + std::to_string(b) + " of " + std::to_string(tokens) + " tokens");
    }
  }
}

TEST_P(CudaParity, SoftmaxAttention) {
  for (const int64_t d : {8, 33, 64, 112, 256}) {
    for (const int variant : {0, 1, 2, 3, 4}) {
      const int64_t batch = variant == 0 ? 3 : 1, queries = 75, heads = 4, key_heads = variant == 2 ? 2 : 4, keys = variant < 2 ? 150 : 75;
      AttentionArgs args = {.scale = 1 / std::sqrt(static_cast<float>(d))};
      if (variant == 0) args.key_offsets = {0, 1, 100, 150};
      if (variant == 1) args.softcap = 5.0f;
      if (variant >= 2) args.causal = true;
      if (variant == 3) args.window = 20;
      if (variant == 4) args.softcap = 50.0f;
      const Pair q = pitched({batch, queries, heads * d}).reshape({batch, queries, heads, d});
      const Pair k = pitched({keys, key_heads * d}).reshape({keys, key_heads, d}),
                 v = pitched({keys, key_heads * d}).reshape({keys, key_heads, d});
      const Pair wide = pitched_output({batch, queries, heads * d}), y = wide.reshape({batch, queries, heads, d});
      run([&](Context& ctx, int side) { softmax_attention(ctx, q[side], k[side], v[side], y[side], args); });
      expect_close(wide, "softmax_attention d = " + std::to_string(d) + " variant " + std::to_string(variant), 1e-5);
    }
  }
}

// Many queries on few keys, as pictures attend to their text; what a member gets does not depend on the others.
TEST_P(CudaParity, CrossAttention) {
  struct Case {
    int64_t queries, heads;
    std::vector<int64_t> widths, offsets;
  };
  const std::vector<Case> cases = {{333, 3, {32, 72, 80, 104, 112, 128}, {0, 1, 301, 301, 381, 420, 840}},
                                   {760, 15, {80, 112}, {0, 1, 301, 301, 381, 420, 740}}};  // blocks that go on with another head
  for (const auto& [queries, heads, widths, offsets] : cases) {
    for (const int64_t d : widths) {
      const auto batch = static_cast<int64_t>(offsets.size()) - 1;
      const Pair q = pitched({batch, queries, heads * d}).reshape({batch, queries, heads, d});
      const Pair k = pitched({offsets.back(), heads * d}).reshape({offsets.back(), heads, d}),
                 v = pitched({offsets.back(), heads * d}).reshape({offsets.back(), heads, d});
      const Pair wide = output({batch, queries, heads * d}), y = wide.reshape({batch, queries, heads, d});
      const AttentionArgs args = {.scale = 1 / std::sqrt(static_cast<float>(d)), .key_offsets = offsets};
      run([&](Context& ctx, int side) { softmax_attention(ctx, q[side], k[side], v[side], y[side], args); });
      expect_close(wide, "softmax_attention of many queries, d = " + std::to_string(d), 1e-5);
      Context ctx = context(1);
      for (int64_t b = 0; b < batch; ++b) {
        const Pair alone = output({queries, heads * d}), alone_heads = alone.reshape({1, queries, heads, d});
        const size_t member = static_cast<size_t>(b);
        const AttentionArgs own = {.scale = args.scale, .key_offsets = {offsets[member], offsets[member + 1]}};
        softmax_attention(ctx, q[1].slice(0, b, 1), k[1], v[1], alone_heads[1], own);
        expect_same_bits(alone[1], wide[1].slice(0, b, 1).reshape({queries, heads * d}), "member " + std::to_string(b));
      }
    }
  }
}

// Keys and values come in whole tiles, the last of which goes on with the next member's.
TEST_P(CudaParity, CrossAttentionOfAMemberDoesNotSeeTheNextOnesNumbers) {
  const int64_t queries = 300, heads = 2, d = 112, keys = 90;
  const Tensor q = random({1, queries, heads, d})[1], k = random({2 * keys, heads, d})[1], v = random({2 * keys, heads, d})[1];
  Context ctx = context(1);
  const auto attend = [&](const Tensor& own_k, const Tensor& own_v) {
    const Pair y = output({1, queries, heads, d});
    softmax_attention(ctx, q, own_k, own_v, y[1], {.scale = 0.1f, .key_offsets = {0, keys}});
    return y[1];
  };
  const auto without_numbers = [&](const Tensor& t) {
    const Tensor host = t.to(kCpuDevice), next = host.slice(0, keys, keys);
    std::memset(next.raw(), 0xff, static_cast<size_t>(next.bytes()));  // NaN in every type
    return host.to(kCuda);
  };
  expect_same_bits(attend(without_numbers(k), without_numbers(v)), attend(k, v), "a member before one of NaN");
}

TEST_P(CudaParity, RotaryAndEmbedding) {
  for (const int64_t d : {6, 64, 256}) {
    const Pair wide = pitched({37, 3 * d}), x = wide.reshape({37, 3, d});
    run([&](Context& ctx, int side) { rotary_embedding(ctx, x[side], 1000, 10000.0f); });
    expect_close(wide, "rotary_embedding d = " + std::to_string(d));
  }
  for (const int64_t dim : {5, 64}) {
    std::vector<int32_t> ids(1100);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 7919 % 300);
    for (const Pair& table : {random({300, dim}), floats({300, dim})}) {
      const Pair y = pitched_output({1100, dim});
      run([&](Context& ctx, int side) { embedding_lookup(ctx, table[side], ids, y[side], 3.0f); });
      expect_close(y, "embedding_lookup");
    }
  }
}

TEST_P(CudaParity, Elementwise) {
  for (const int64_t dim : {1, 3, 64, 2240}) {
    const Shape shape{2, 9, dim};
    const Pair a = pitched(shape), b = pitched(shape), rows = floats({9, dim});
    for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kSilu, Activation::kGeluTanh}) {
      Pair y = pitched_output(shape);
      run([&](Context& ctx, int side) { activate(ctx, a[side], y[side], activation); });
      expect_close(y, "activate");
      y = pitched_output(shape);
      run([&](Context& ctx, int side) { multiply_activated(ctx, a[side], b[side], y[side], activation); });
      expect_close(y, "multiply_activated");
    }
    Pair y = pitched_output(shape);
    run([&](Context& ctx, int side) { add(ctx, a[side], b[side], y[side]); });
    expect_close(y, "add");
    y = pitched_output(shape);
    run([&](Context& ctx, int side) { add_rows(ctx, a[side], rows[side], y[side]); });
    expect_close(y, "add_rows");
    for (const DType type : {DType::kF32, DType::kBF16, DType::kF16}) {
      const Pair c = output(shape, type);
      run([&](Context& ctx, int side) { cast(ctx, a[side], c[side]); });
      EXPECT_TRUE(same_bits(c.wide[0], c.wide[1].to(kCpuDevice))) << "cast to " << name_of(type);
    }
  }
  for (const int64_t count : {5, 1024, 5000}) {
    const Pair u = floats({count}), v = floats({count}), w = floats({count}), y = output({count}, DType::kF32);
    run([&](Context& ctx, int side) {
      const Term terms[] = {{0.5f, u[side]}, {-2.0f, v[side]}, {1.25f, w[side]}};
      linear_combination(ctx, terms, y[side]);
    });
    expect_close(y, "linear_combination");
  }
}

TEST_P(CudaParity, Rearrangements) {
  using Op = void (*)(Context&, const Tensor&, const Tensor&);
  struct Case {
    const char* name;
    Op op;
    Shape x, y;
    bool adds;
  };
  for (const Case& c : {Case{"pixel_shuffle", pixel_shuffle, {2, 5, 3, 48}, {2, 10, 6, 12}, false},
                        Case{"pixel_unshuffle", pixel_unshuffle, {2, 10, 6, 12}, {2, 5, 3, 48}, false},
                        Case{"add_downsample_shortcut", add_downsample_shortcut, {2, 10, 6, 12}, {2, 5, 3, 24}, true},
                        Case{"add_downsample_shortcut", add_downsample_shortcut, {1, 10, 6, 12}, {1, 5, 3, 12}, true},
                        Case{"add_upsample_shortcut", add_upsample_shortcut, {2, 5, 3, 24}, {2, 10, 6, 12}, true},
                        Case{"add_upsample_shortcut", add_upsample_shortcut, {1, 5, 3, 12}, {1, 10, 6, 12}, true},
                        Case{"add_upsample_shortcut", add_upsample_shortcut, {2, 5, 3, 32}, {2, 10, 6, 16}, true},
                        Case{"add_upsample_shortcut", add_upsample_shortcut, {1, 5, 3, 24}, {1, 10, 6, 24}, true},
                        Case{"add_channel_mean", add_channel_mean, {1, 5, 3, 48}, {1, 5, 3, 12}, true},
                        Case{"add_channel_repeat", add_channel_repeat, {1, 5, 3, 12}, {1, 5, 3, 48}, true}}) {
    const Pair x = random(c.x), y = c.adds ? random(c.y) : output(c.y);
    run([&](Context& ctx, int side) { c.op(ctx, x[side], y[side]); });
    expect_close(y, c.name);
  }
}

TEST(CudaBackendTest, MissingDeviceIsADeviceError) {
  try {
    backend_of({DeviceKind::kCuda, cuda_device_count()});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDevice) << error.what();
  }
}

TEST(CudaBackendTest, OutOfMemoryLeavesTheBackendUsable) {
  if (!cuda_available()) GTEST_SKIP() << "no CUDA device";
  backend_of(kCuda);
  try {
    const Tensor huge({int64_t{1} << 48}, DType::kF32, kCuda);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kMemory) << error.what();
  }
  const Tensor x = random_tensor({1000}, 1);
  EXPECT_TRUE(same_bits(x, x.to(kCuda).to(kCpuDevice)));
}

// Copies of more than a piece of pinned memory, which does not divide them.
TEST(CudaBackendTest, LargeTensorsGoThereAndBack) {
  if (!cuda_available()) GTEST_SKIP() << "no CUDA device";
  backend_of(kCuda);
  for (const int64_t elements : {int64_t{4} << 20, (int64_t{4} << 20) + 1, (int64_t{12} << 20) + 12345}) {
    const Tensor x = random_tensor({elements}, 3);
    EXPECT_TRUE(same_bits(x, x.to(kCuda).to(kCpuDevice))) << elements;
  }
}

}  // namespace
}  // namespace linea::test
