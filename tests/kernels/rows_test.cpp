// Norms, elementwise ops and lookups on rows, and the elementary functions under them.
#include <cmath>

#include "tests/kernels/fixture.h"
#include "tests/kernels/reference.h"

namespace linea::test {
namespace {

class RowsTest : public KernelTest {};
LINEA_KERNEL_SUITE(RowsTest);

constexpr int64_t kWidths[] = {1, 3, 8, 15, 16, 17, 63, 64, 65, 127, 256, 1153};

TEST_P(RowsTest, ModulatedLayerNormEqualsReference) {
  for (const int64_t dim : kWidths) {
    const int64_t batch = 2, tokens = 5;
    const Tensor x = pitched({batch, tokens, dim}, 3.0f), y = pitched_output({batch, tokens, dim});
    const Tensor table = random_f32({batch, 6, dim});
    const Tensor scale = table.select(1, 1), shift = table.select(1, 0);
    modulated_layer_norm(ctx(), x, scale, shift, y, 1e-6f);
    const Tensor expected = reference::modulated_layer_norm(x, scale, shift, 1e-6);
    expect_close(y, expected, dim + 8, "modulated_layer_norm " + std::to_string(dim));
    modulated_layer_norm(ctx(), x, scale, shift, x, 1e-6f);
    expect_close(x, expected, dim + 8, "modulated_layer_norm in place");
  }
}

TEST_P(RowsTest, RmsNormEqualsReference) {
  for (const int64_t dim : kWidths) {
    const int64_t rows = 7;
    const Tensor x = pitched({rows, dim}, 3.0f), w = random_f32({dim});
    RmsNormArgs args;
    for (int variant = 0; variant < 4; ++variant) {
      args.unit_offset = variant == 1;
      if (variant >= 2) args.bias = random_f32({dim});
      if (variant >= 2) args.activation = variant == 2 ? Activation::kRelu : Activation::kSilu;
      if (variant == 3) args.residual = pitched({rows, dim});
      const Tensor y = pitched_output({rows, dim});
      rms_norm(ctx(), x, w, y, args);
      expect_close(y, reference::rms_norm(x, w, args), dim + 8, "rms_norm " + std::to_string(dim));
    }
    const Tensor expected = reference::rms_norm(x, w, args);
    rms_norm(ctx(), x, w, args.residual, args);
    expect_close(args.residual, expected, dim + 8, "rms_norm into its residual");
    args.residual = {};
    const Tensor without = reference::rms_norm(x, w, args);
    rms_norm(ctx(), x, w, x, args);
    expect_close(x, without, dim + 8, "rms_norm in place");
  }
}

TEST_P(RowsTest, ElementwiseOpsEqualTheirReferences) {
  for (const int64_t dim : kWidths) {
    const int64_t rows = 6;
    const Tensor a = pitched({rows, dim}, 3.0f), b = pitched({rows, dim}, 3.0f);
    for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kSilu, Activation::kGeluTanh}) {
      const Tensor activated = pitched_output({rows, dim});
      activate(ctx(), a, activated, activation);
      expect_close(activated, reference::activate(a, activation), 8, "activate");
      const Tensor product = pitched_output({rows, dim});
      multiply_activated(ctx(), a, b, product, activation);
      expect_close(product, reference::multiply_activated(a, b, activation), 8, "multiply_activated");
    }
    const Tensor sum = pitched_output({rows, dim}), expected = reference::add(a, b);
    add(ctx(), a, b, sum);
    expect_close(sum, expected, 1, "add");
    add(ctx(), a, b, b);
    expect_close(b, expected, 1, "add in place");

    const Tensor x = pitched({2, 3, dim}), table = random_f32({3, dim}), y = pitched_output({2, 3, dim});
    add_rows(ctx(), x, table, y);
    expect_close(y, reference::add_rows(x, table), 1, "add_rows");
  }
}

TEST_P(RowsTest, CastRoundsLikeConvertElements) {
  for (const int64_t dim : {1, 16, 37, 4096}) {
    for (const DType to : {DType::kF32, DType::kBF16, DType::kF16, DType::kF64}) {
      // From subnormals of half precision to beyond its range, both signs.
      const Tensor x = random({3, dim});
      for (int64_t i = 0; i < x.elements(); ++i) {
        const double value = std::ldexp(static_cast<double>(i % 97) / 31 - 1.5, static_cast<int>(i % 45) - 27);
        convert_elements(&value, DType::kF64, static_cast<char*>(x.raw()) + i * bytes_of(dtype()), dtype(), 1);
      }
      const Tensor y({3, dim}, to);
      cast(ctx(), x, y);
      EXPECT_TRUE(same_bits(y, x.to(to))) << "to " << name_of(to);
    }
  }
}

TEST_P(RowsTest, CastKeepsSpecialValues) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {0.0f,
                                     -0.0f,
                                     inf,
                                     -inf,
                                     65504.0f,
                                     65519.0f,
                                     65520.0f,
                                     -70000.0f,
                                     0x1p-24f,
                                     0x1p-25f,
                                     0x1.8p-25f,
                                     0x1p-14f,
                                     0x1.ffcp-15f,
                                     3.4e38f,
                                     -3.4e38f,
                                     0x1p-140f,
                                     std::numeric_limits<float>::quiet_NaN()};
  const auto count = static_cast<int64_t>(values.size());
  Tensor x({1, count}, DType::kF32);
  std::copy(values.begin(), values.end(), x.data<float>());
  const Tensor narrow({1, count}, dtype()), wide({1, count}, DType::kF32);
  cast(ctx(), x, narrow);
  EXPECT_TRUE(same_bits(narrow, x.to(dtype())));
  cast(ctx(), narrow, wide);
  EXPECT_TRUE(same_bits(wide, narrow.to(DType::kF32)));
}

TEST_P(RowsTest, EmbeddingLookupEqualsReference) {
  const std::vector<int32_t> ids = {4, 0, 4, 10, 7};
  for (const int64_t dim : {1, 16, 45}) {
    for (const DType table_type : {DType::kF32, DType::kBF16, DType::kF16}) {
      const Tensor table = random_tensor({11, dim}, 5, table_type), y = pitched_output({5, dim});
      embedding_lookup(ctx(), table, ids, y, 48.0f);
      expect_close(y, reference::embedding_lookup(table, ids, 48.0), 1, "embedding_lookup");
    }
  }
  EXPECT_THROW(embedding_lookup(ctx(), random({11, 4}), std::vector<int32_t>{11}, output({1, 4})), Error);
}

TEST_P(RowsTest, LinearCombinationEqualsReference) {
  if (dtype() != DType::kF32) GTEST_SKIP() << "f32 only";
  for (const int64_t count : {3, 17, 100003}) {
    for (const int terms : {1, 2, 3, 4}) {
      std::vector<Term> list;
      Tensor expected({count}, DType::kF64);
      std::fill_n(expected.data<double>(), count, 0.0);
      for (int t = 0; t < terms; ++t) {
        list.push_back({0.7f - static_cast<float>(t), random({count})});
        for (int64_t i = 0; i < count; ++i) {
          expected.data<double>()[i] += static_cast<double>(list.back().coefficient) * static_cast<double>(list.back().x.data<float>()[i]);
        }
      }
      const Tensor y = list.back().x;  // in place
      linear_combination(ctx(), list, y);
      expect_close(y, expected, terms + 2, "linear_combination");
    }
  }
}

// In units of the last place of the f32 result: the promises of simd/math.h.
TEST_P(RowsTest, ElementaryFunctionsKeepTheirUlpBudget) {
  if (dtype() != DType::kF32) GTEST_SKIP() << "f32 only";
  const cpu::Kernels& kernels = *GetParam().kernels;
  struct Function {
    const char* name;
    void (*fast)(const float*, float*, int64_t);
    double (*exact)(double);
    float low, high;
    double budget;
  };
  for (const Function& f : {Function{"exp", kernels.exponential, [](double x) { return std::exp(x); }, -87.0f, 88.7f, 2.0},
                            Function{"tanh", kernels.hyperbolic_tangent, [](double x) { return std::tanh(x); }, -12.0f, 12.0f, 4.0},
                            Function{"sigmoid", kernels.logistic, [](double x) { return 1 / (1 + std::exp(-x)); }, -80.0f, 80.0f, 4.0}}) {
    constexpr int64_t kCount = 200000;
    std::vector<float> x(kCount), y(kCount);
    for (int64_t i = 0; i < kCount; ++i) {
      x[static_cast<size_t>(i)] = f.low + (f.high - f.low) * static_cast<float>(i) / static_cast<float>(kCount - 1);
      if (i % 4 == 0) x[static_cast<size_t>(i)] *= 0.01f;
    }
    f.fast(x.data(), y.data(), kCount);
    double worst = 0;
    float where = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = f.exact(static_cast<double>(x[i]));
      const float nearest = static_cast<float>(exact);
      const double ulp = static_cast<double>(std::nextafter(std::abs(nearest), std::numeric_limits<float>::infinity()) - std::abs(nearest));
      const double error = std::abs(static_cast<double>(y[i]) - exact) / ulp;
      if (!(error <= worst)) worst = error, where = x[i];
    }
    EXPECT_LE(worst, f.budget) << f.name << " at " << where;
  }
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {-inf, inf, -200.0f, 100.0f, std::numeric_limits<float>::quiet_NaN()};
  std::vector<float> y(x.size());
  kernels.exponential(x.data(), y.data(), 5);
  EXPECT_LE(y[0], 1e-44f);
  EXPECT_EQ(y[1], inf);
  EXPECT_LE(y[2], 1e-44f);
  EXPECT_EQ(y[3], inf);
  EXPECT_TRUE(std::isnan(y[4]));
  kernels.hyperbolic_tangent(x.data(), y.data(), 5);
  EXPECT_EQ(y[0], -1.0f);
  EXPECT_EQ(y[1], 1.0f);
  EXPECT_TRUE(std::isnan(y[4]));
  kernels.logistic(x.data(), y.data(), 5);
  EXPECT_EQ(y[0], 0.0f);
  EXPECT_EQ(y[1], 1.0f);
}

}  // namespace
}  // namespace linea::test
