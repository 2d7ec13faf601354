// Rows that a norm writes as e4m3 for the products that read them: the bits of a norm in 16 bits whose rows the products scale themselves.
#include "kernels/glu_mbconv.h"
#include "kernels/joined_linear.h"
#include "tests/kernels/cuda_parity.h"

namespace linea::test {
namespace {

class CudaProductRows : public CudaParity {
 protected:
  void SetUp() override {
    CudaParity::SetUp();
    if (IsSkipped()) return;
    if (!context(1).backend->multiplies_fp8()) GTEST_SKIP() << "no FP8 products on this device";
  }

  Context fp8_context() {
    Context ctx = context(1);
    ctx.fp8 = true;
    return ctx;
  }
  Weight fp8_weight(int64_t out, int64_t in) {
    Context ctx = fp8_context();
    return prepare_linear(ctx, random_tensor({out, in}, 81, dtype(), 1 / std::sqrt(static_cast<float>(in))));
  }
};

// Rows of every form of the norm's kernel, gates of each member and of all, products by both libraries (few rows: gemm_hopper.h).
TEST_P(CudaProductRows, NormedRowsHaveTheBitsOfTheProductsOwn) {
  for (const int64_t dim : {512, 640, 1152, 2240, 2320}) {
    for (const auto& [members, modulations, rows] : {std::array<int64_t, 3>{2, 2, 67}, {3, 1, 300}, {1, 1, 2050}}) {
      Context ctx = fp8_context();
      const Weight w = fp8_weight(2064, dim);
      ASSERT_EQ(w.data.dtype(), DType::kF8E4M3);
      const Pair x = random({members, rows, dim}), modulation = floats({modulations, 2 * dim});
      const Tensor scale = modulation[1].slice(1, 0, dim), shift = modulation[1].slice(1, dim, dim);
      const Pair plain = output({members, rows, dim}), space = output({members, rows, dim}), expected = output({members, rows, 2064}),
                 found = output({members, rows, 2064});
      modulated_layer_norm(ctx, x[1], scale, shift, plain[1], 1e-6f);
      linear(ctx, plain[1], w, expected[1]);
      const ProductRows narrow = rows_for(w, space[1]);
      ASSERT_TRUE(narrow.scales.defined());
      EXPECT_LE(static_cast<char*>(narrow.scales.raw()) + narrow.scales.bytes(), static_cast<char*>(space[1].raw()) + space[1].bytes());
      modulated_layer_norm(ctx, x[1], scale, shift, narrow, 1e-6f);
      linear(ctx, narrow.values, w, found[1], {.x_scales = narrow.scales});
      expect_same_bits(found[1], expected[1], std::to_string(members) + " members of rows of " + std::to_string(dim));
    }
  }
}

TEST_P(CudaProductRows, OtherMatricesTakeRowsAsTheyAre) {
  Context ctx = fp8_context();
  const Pair space = output({2, 67, 512});
  const Weight small = fp8_weight(64, 512);  // stays in 16 bits
  ASSERT_NE(small.data.dtype(), DType::kF8E4M3);
  const ProductRows rows = rows_for(small, space[1]);
  EXPECT_EQ(rows.values.raw(), space[1].raw());
  EXPECT_EQ(rows.values.dtype(), dtype());
  EXPECT_FALSE(rows.scales.defined());
}

// In strips of a map, whose scales begin anywhere: 62 columns are no multiple of four.
TEST_P(CudaProductRows, FeedForwardInStrips) {
  constexpr int64_t kChannels = 512, kHidden = 1536, kHeight = 720, kWidth = 62;
  GluMbConv model;
  model.inverted = fp8_weight(2 * kHidden, kChannels);
  model.point = fp8_weight(kChannels, kHidden);
  model.inverted_bias = floats({2 * kHidden})[1];
  model.depthwise = floats({3, 3, 2 * kHidden}, 0.3f)[1];
  model.depthwise_bias = floats({2 * kHidden})[1];
  const Shape map{1, kHeight, kWidth, kChannels}, rows{1, kHeight * kWidth, kChannels};
  const Pair x = random(map), gate = floats({1, kChannels}), modulation = floats({1, 2 * kChannels});
  const Tensor scale = modulation[1].slice(1, 0, kChannels), shift = modulation[1].slice(1, kChannels, kChannels);
  const auto feed_forward = [&](bool narrow) {
    const Pair space = output(rows), y = both_devices(x[0]);
    const auto run = [&](Context ctx) {
      ctx.fp8 = true;
      const ProductRows normed = narrow ? rows_for(model.inverted, space[1]) : ProductRows(space[1]);
      modulated_layer_norm(ctx, y[1].reshape(rows), scale, shift, normed, 1e-6f);
      glu_mbconv(ctx, model, normed.reshape(map), y[1], {.residual = y[1], .gate = gate[1]});
    };
    Arena plan = Arena::planning(kCuda);
    Context ctx = context(1);
    ctx.arena = &plan;
    run(ctx);
    Arena exact(kCuda, plan.peak());
    ctx.arena = &exact;
    run(ctx);
    return y[1].to(kCpuDevice);
  };
  EXPECT_TRUE(same_bits(feed_forward(true), feed_forward(false)));
}

// Rows that attention writes, all of a member with one scale, lose as much as those that the product scales by their own largest value:
// up to 2^-4 of every value, 2.6 % in the mean square. Two such differ by √2 times that.
TEST_P(CudaProductRows, LinearAttentionWritesThem) {
  struct Case {
    int64_t members, tokens, heads, d;
  };
  for (const Case& c : {Case{2, 300, 70, 32}, {1, 5000, 18, 32}, {2, 2100, 40, 32}, {2, 77, 16, 64}}) {
    Context ctx = fp8_context();
    const int64_t dim = c.heads * c.d;
    const Weight w = fp8_weight(1040, dim);
    const Pair qkv = random({c.members, c.tokens, 3, c.heads, c.d});
    const auto part = [&](int i, int64_t first, int64_t count) { return qkv[1].select(2, i).slice(0, first, count); };
    const auto run = [&](int64_t first, int64_t count, bool narrow) {
      const Pair space = output({count, c.tokens, dim}), y = output({count, c.tokens, 1040});
      const ProductRows o = narrow ? rows_for(w, space[1]) : ProductRows(space[1]);
      relu_linear_attention(ctx, part(0, first, count), part(1, first, count), part(2, first, count),
                            {o.values.reshape({count, c.tokens, c.heads, c.d}), o.scales});
      linear(ctx, o.values, w, y[1], {.x_scales = o.scales});
      return y[1].to(kCpuDevice);
    };
    const Tensor all = run(0, c.members, true);
    EXPECT_LE(relative_l2(all, run(0, c.members, false)), 0.05) << c.tokens << " tokens, heads of " << c.d;
    for (int64_t b = 0; b < c.members; ++b) {
      EXPECT_TRUE(same_bits(run(b, 1, true), all.slice(0, b, 1))) << "member " << b << " of " << c.tokens << " tokens";
    }
  }
}

// By the kernel for many queries, the other one, and both in a batch.
TEST_P(CudaProductRows, CrossAttentionWritesThem) {
  const int64_t queries = 300, heads = 20, d = 112, dim = heads * d;
  for (const std::vector<int64_t>& offsets : {std::vector<int64_t>{0, 300, 307}, {0, 0, 90}, {0, 400, 420}}) {
    Context ctx = fp8_context();
    const Weight w = fp8_weight(1040, dim);
    const Pair q = random({2, queries, heads, d}), k = random({offsets.back(), heads, d}), v = random({offsets.back(), heads, d});
    Tensor bounds;  // where they are found before
    const auto run = [&](int64_t first, int64_t count, bool narrow) {
      const Pair space = output({count, queries, dim}), y = output({count, queries, 1040});
      const ProductRows o = narrow ? rows_for(w, space[1]) : ProductRows(space[1]);
      softmax_attention(
          ctx, q[1].slice(0, first, count), k[1], v[1], {o.values.reshape({count, queries, heads, d}), o.scales},
          {.scale = 0.1f, .key_offsets = {offsets.begin() + first, offsets.begin() + first + count + 1}, .value_bounds = bounds});
      linear(ctx, o.values, w, y[1], {.x_scales = o.scales});
      return y[1].to(kCpuDevice);
    };
    const Tensor all = run(0, 2, true);
    EXPECT_LE(relative_l2(all, run(0, 2, false)), 0.05) << offsets[1] << " keys";
    for (int64_t b = 0; b < 2; ++b) EXPECT_TRUE(same_bits(run(b, 1, true), all.slice(0, b, 1))) << "member " << b;
    bounds = Tensor({2, kValueBoundParts}, DType::kF32, kCuda);
    value_bounds(ctx, v[1], offsets, bounds);
    EXPECT_TRUE(same_bits(run(0, 2, true), all)) << "bounds found before";
  }
}

float value_of_e4m3(uint8_t bits) {
  const int exponent = bits >> 3 & 15, digits = bits & 7;
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(digits), -9) : std::ldexp(static_cast<float>(8 + digits), exponent - 10);
  return bits & 0x80 ? -size : size;
}

// The activated depthwise convolution of a product's results in FP8: two maps of kIn channels, the second of zeros, as a norm writes them.
class CudaConvolutionRows : public CudaProductRows {
 protected:
  static constexpr int64_t kIn = 512, kBlock = 64;  // channels that one exponent scales
  struct Case {
    int64_t height, width, hidden;
    float x_scale = 1;
  };
  struct Convolution {
    ProductRows x;
    Tensor filters;
    Weight w, last;
  };

  // Blocks of channels of very different sizes in one row.
  Convolution convolution(const Case& c) {
    const Tensor filters = random_tensor({3, 3, 2 * c.hidden}, 82, DType::kF32, 0.3f),
                 x = random_tensor({2, c.height * c.width, kIn}, 83, dtype());
    for (int64_t tap = 0; tap < 9; ++tap) {
      for (int64_t channel = 0; channel < c.hidden; ++channel)
        filters.data<float>()[tap * 2 * c.hidden + channel] *= std::ldexp(1.0f, static_cast<int>(channel / kBlock * 5 % 19) - 9);
    }
    std::memset(x.slice(0, 1, 1).raw(), 0, static_cast<size_t>(x.bytes() / 2));
    const Tensor scale({1, kIn}, DType::kF32), shift({1, kIn}, DType::kF32);
    std::fill_n(scale.data<float>(), kIn, c.x_scale - 1);
    std::fill_n(shift.data<float>(), kIn, 0.0f);
    Convolution result{{}, both_devices(filters)[1], fp8_weight(2 * c.hidden, kIn), fp8_weight(1040, c.hidden)};
    const ProductRows normed = rows_for(result.w, output(x.shape())[1]);
    Context ctx = fp8_context();
    modulated_layer_norm(ctx, both_devices(x)[1], both_devices(scale)[1], both_devices(shift)[1], normed, 1e-6f);
    result.x = normed.reshape({2, c.height, c.width, kIn});
    return result;
  }
  ProductRows rows(const Convolution& c, const Shape& map) { return rows_for(c.last, output(map)[1]); }

  void run(const Convolution& c, const ProductRows& x, const ProductRows& y, bool pads = true) {
    Context ctx = fp8_context();
    if (!y.scales.defined()) ctx.dtype = y.values.dtype();
    const ExpandArgs args = {.activation = Activation::kSilu,
                             .x_scales = x.scales,
                             .depthwise = {.gated = true, .pad_top = pads ? -1 : 0, .pad_bottom = pads ? -1 : 0}};
    Arena plan = Arena::planning(kCuda);
    ctx.arena = &plan;
    expand_depthwise(ctx, x.values, c.w, c.filters, y, args);
    Arena exact(kCuda, plan.peak());
    ctx.arena = &exact;
    expand_depthwise(ctx, x.values, c.w, c.filters, y, args);
    ctx.backend->synchronize();
  }

  // slack: of the largest value of its block, what a value may differ from the one in 16 bits, besides what rounding to e4m3 makes: half a
  // unit of the last digit, twice where a block is scaled again.
  void expect_rows(const ProductRows& found, const Tensor& expected_16, float slack) {
    const Tensor bytes = found.values.to(kCpuDevice), scales = found.scales.to(kCpuDevice),
                 exact = expected_16.to(kCpuDevice).to(DType::kF32);
    const int64_t hidden = exact.dim(3);
    const auto largest_of = [](const float* v, int64_t count) {
      return std::abs(*std::max_element(v, v + count, [](float a, float b) { return std::abs(a) < std::abs(b); }));
    };
    const Tensor values(exact.shape(), DType::kF32);
    for (int64_t row = 0; row < scales.elements(); ++row) {
      const float scale = scales.data<float>()[row], *expected = exact.data<float>() + row * hidden;
      const float largest = largest_of(expected, hidden);
      ASSERT_EQ(scale == 0, largest == 0) << "row " << row;
      if (scale == 0) std::fill_n(values.data<float>() + row * hidden, hidden, 0.0f);
      if (scale == 0) continue;
      ASSERT_GE(largest / scale, 1 - slack) << "row " << row;
      ASSERT_LT(largest / scale, 256 * (1 + slack)) << "row " << row;
      for (int64_t first = 0; first < hidden; first += kBlock) {
        const float own = slack * largest_of(expected + first, std::min(kBlock, hidden - first));
        for (int64_t c = first; c < std::min(first + kBlock, hidden); ++c) {
          const float value = scale * value_of_e4m3(static_cast<const uint8_t*>(bytes.raw())[row * hidden + c]);
          ASSERT_NEAR(value, expected[c], std::max(std::abs(expected[c]) / 16, scale / 512) + own) << "row " << row << ", channel " << c;
          values.data<float>()[row * hidden + c] = value;
        }
      }
    }
    EXPECT_LE(relative_l2(values, exact), 0.028) << "e4m3 alone makes 0.026";
  }

  // The last block of channels is half full. Ten rows from the rows that they take have the bits that they have in the map. `type`: of the
  // convolution in 16 bits that they are compared with, which takes the same product's results.
  void check(const Case& c, DType type) {
    constexpr float kSlack = 1.0f / 32;  // what halves and bf16 differ by in the worst of a million values; they are 2e-3 and 3e-3 from f64
    const Convolution layer = convolution(c);
    const Shape map{2, c.height, c.width, c.hidden};
    const ProductRows narrow = rows(layer, map);
    ASSERT_TRUE(narrow.scales.defined());
    const Tensor plain(map, type, kCuda);
    run(layer, layer.x, plain);
    run(layer, layer.x, narrow);
    expect_rows(narrow, plain, kSlack);

    const ProductRows strip = rows(layer, {1, 10, c.width, c.hidden});
    run(layer, layer.x.slice(0, 0, 1).slice(1, 4, 12), strip, /*pads=*/false);
    const ProductRows whole = narrow.slice(0, 0, 1).slice(1, 5, 10);
    EXPECT_TRUE(same_bits(strip.values.to(kCpuDevice), whole.values.to(kCpuDevice)));
    EXPECT_TRUE(same_bits(strip.scales.to(kCpuDevice), whole.scales.to(kCpuDevice)));
  }
};

// The second where the product before has a kernel of our own (gemm_hopper.h), which gives halves.
TEST_P(CudaConvolutionRows, AreThoseOfTheConvolution) {
  check({21, 37, 544}, dtype());
  check({21, 37, 1056}, DType::kF16);
}

// Halves end at 65504: activations beyond that are taken as that, and nothing becomes infinite or no number.
TEST_P(CudaConvolutionRows, HalvesDoNotOverflow) {
  const Case c{21, 37, 1056, 100000.0f};
  if (dtype() == DType::kF16) GTEST_SKIP() << "its norms end there too";
  const Convolution layer = convolution(c);
  const ProductRows narrow = rows(layer, {2, c.height, c.width, c.hidden});
  run(layer, layer.x, narrow);
  const Tensor bytes = narrow.values.to(kCpuDevice), scales = narrow.scales.to(kCpuDevice);
  const auto* values = static_cast<const uint8_t*>(bytes.raw());
  EXPECT_EQ(std::count_if(values, values + bytes.bytes(), [](uint8_t v) { return (v & 0x7f) == 0x7f; }), 0) << "values that are no number";
  EXPECT_TRUE(std::all_of(scales.data<float>(), scales.data<float>() + scales.elements(), [](float s) { return std::isfinite(s); }));
  EXPECT_GT(*std::max_element(scales.data<float>(), scales.data<float>() + scales.elements()), 1e4f);
}

INSTANTIATE_TEST_SUITE_P(Types, CudaConvolutionRows, ::testing::Values(DType::kBF16, DType::kF16), name_of_type);

INSTANTIATE_TEST_SUITE_P(Types, CudaProductRows, ::testing::Values(DType::kBF16, DType::kF16), name_of_type);

}  // namespace
}  // namespace linea::test
