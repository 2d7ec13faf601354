// Matrix products: linear in its three forms (dot products, oneDNN, widened), grouped_linear.
#include <cstring>

#include "kernels/cpu/common.h"
#include "kernels/cpu/onednn.h"
#include "tests/kernels/fixture.h"
#include "tests/kernels/reference.h"

namespace linea::test {
namespace {

class MatmulTest : public KernelTest {};
LINEA_KERNEL_SUITE(MatmulTest);

struct Size {
  int64_t rows, in, out;
};

TEST_P(MatmulTest, LinearEqualsReference) {
  for (const auto [rows, in, out] : {Size{1, 1, 1}, Size{1, 256, 33}, Size{3, 17, 16}, Size{15, 31, 47}, Size{16, 64, 64}, Size{17, 16, 15},
                                     Size{64, 40, 96}, Size{67, 129, 65}, Size{130, 256, 32}, Size{1100, 520, 70}}) {
    const std::string what = "linear " + Shape{rows, in, out}.to_string();
    const Tensor x = random({rows, in}), w = random({out, in}), y = output({rows, out});
    linear(ctx(), x, prepare_linear(ctx(), w), y);
    expect_close(y, reference::linear(x, w, {}), in, what);
  }
}

TEST_P(MatmulTest, LinearFusesBiasActivationGateAndResidual) {
  for (const int64_t tokens : {2, 5, 33, 64, 350}) {
    for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kSilu, Activation::kGeluTanh}) {
      const int64_t batch = 3, in = 48, out = 80;
      const Tensor x = pitched({batch, tokens, in}), w = random({out, in}, 0.2f);
      LinearArgs args;
      args.bias = random_f32({out});
      args.activation = activation;
      const Weight weight = prepare_linear(ctx(), w);
      const Tensor plain = pitched_output({batch, tokens, out});
      linear(ctx(), x, weight, plain, args);
      expect_close(plain, reference::linear(x, w, args), in, "bias and activation");

      args.residual = random({batch, tokens, out});
      const Tensor with_residual = pitched_output({batch, tokens, out});
      linear(ctx(), x, weight, with_residual, args);
      expect_close(with_residual, reference::linear(x, w, args), in, "residual");

      args.gate = random_f32({batch, 6, out}).select(1, 2);  // a row of a modulation table
      const Tensor gated = pitched_output({batch, tokens, out});
      linear(ctx(), x, weight, gated, args);
      const Tensor expected = reference::linear(x, w, args);
      expect_close(gated, expected, in, "gate");

      linear(ctx(), x, weight, args.residual, args);
      expect_close(args.residual, expected, in, "gate, in place");
    }
  }
}

TEST_P(MatmulTest, LinearHasTheSameBitsForAnyThreadsAndBatch) {
  for (const auto [tokens, in, out] : {Size{1, 256, 64}, Size{16, 256, 640}, Size{37, 200, 96}, Size{256, 256, 64}, Size{17, 2304, 48}}) {
    const int64_t batch = 3;
    const Tensor x = random({batch, tokens, in});
    const Weight w = prepare_linear(ctx(), random({out, in}));
    const Tensor bias = random_f32({out}), gate = random_f32({batch, out}), residual = random({batch, tokens, out});
    const auto run = [&](int64_t first, int64_t count) {
      const Tensor y = output({count, tokens, out});
      linear(ctx(), x.slice(0, first, count), w, y,
             {.bias = bias,
              .activation = Activation::kSilu,
              .residual = residual.slice(0, first, count),
              .gate = gate.slice(0, first, count)});
      return y;
    };
    const std::string what = "linear " + Shape{tokens, in, out}.to_string();
    expect_thread_independent([&] { return run(0, batch); }, what);
    expect_member_independent(
        run(0, batch), [&](int64_t b) { return run(b, 1); }, what);
  }
}

TEST_P(MatmulTest, RowsOfAProductDoNotDependOnTheirNumber) {
  const int64_t rows = 700, in = 320, out = 64;
  const Tensor x = random({rows, in});
  const Weight w = prepare_linear(ctx(), random({out, in}));
  const Tensor all = output({rows, out});
  linear(ctx(), x, w, all);
  for (const int64_t count : {17, 64, 100, 511, 513}) {
    const Tensor some = output({count, out});
    linear(ctx(), x.slice(0, rows - count, count), w, some);
    EXPECT_TRUE(same_bits(some, all.slice(0, rows - count, count))) << count << " rows";
  }
}

// On a machine with matrix units the copy has an order of its own; elsewhere it is the matrix itself.
TEST_P(MatmulTest, MatricesOfManyProductsHaveTheBitsOfOthers) {
  for (const auto [rows, in, out] : {Size{1, 256, 640}, Size{5, 96, 40}, Size{17, 16, 15}, Size{300, 1152, 96}, Size{1100, 520, 70}}) {
    const Tensor x = pitched({rows, in}), w = random({out, in}), bias = random_f32({out}), residual = random({rows, out});
    const auto product = [&](bool packs) {
      const Tensor y = pitched_output({rows, out});
      linear(ctx(), x, packs ? prepare_packed_linear(ctx(), w) : prepare_linear(ctx(), w), y,
             {.bias = bias, .activation = Activation::kSilu, .residual = residual, .gate = {}});
      const Tensor result = output({rows, out});
      cast(ctx(), y, result);
      return result;
    };
    const std::string what = "linear " + Shape{rows, in, out}.to_string();
    const Tensor y = product(true), plain = product(false);
    EXPECT_TRUE(same_bits(y, plain)) << what;
  }
}

TEST(PackedLayout, ProductsHaveTheBitsOfPlainMatrices) {
  if (!cpu::onednn::has_matmul(cpu::Element::kBF16)) GTEST_SKIP() << "no products in bf16 here";
  for (const auto [rows, in, out] : {Size{3, 256, 640}, Size{17, 48, 15}, Size{300, 1152, 96}, Size{2048, 520, 70}}) {
    for (const int64_t pitch : {out, 3 * out}) {
      const Tensor x = random_tensor({rows, in}, 1, DType::kBF16), w = random_tensor({out, in}, 2, DType::kBF16);
      const Tensor plain({rows, pitch}, DType::kF32), y({rows, pitch}, DType::kF32);
      for (const Tensor& t : {plain, y}) std::memset(t.raw(), 0, static_cast<size_t>(t.bytes()));
      const auto layout = cpu::onednn::packed_layout(out, in);
      const Tensor packed({layout->bytes()}, DType::kU8);
      layout->pack(w.raw(), packed.raw());
      cpu::onednn::Matmul call{};
      call.x = x.raw(), call.rows = rows, call.in = in, call.out = out, call.x_pitch = in, call.y_pitch = pitch;
      call.act = cpu::Act::kNone, call.type = cpu::Element::kBF16, call.y_type = cpu::Element::kF32;
      call.w = w.raw(), call.y = plain.raw();
      cpu::onednn::matmul(call);
      call.w = packed.raw(), call.w_layout = layout.get(), call.y = y.raw();
      cpu::onednn::matmul(call);
      EXPECT_TRUE(same_bits(y, plain)) << Shape{rows, in, out}.to_string() << " pitch " << pitch;
    }
  }
}

TEST_P(MatmulTest, LinearUsesThePlannedMemory) {
  const Tensor x = random({2, 90, 40}), w = random({24, 40}), y = output({2, 90, 24});
  expect_planned([&](Context& context) { linear(context, x, prepare_linear(context, w), y); });
}

TEST_P(MatmulTest, GroupedLinearEqualsReference) {
  for (const auto [rows, groups, d] : {Size{1, 1, 1}, Size{5, 3, 7}, Size{63, 6, 32}, Size{65, 2, 33}, Size{130, 9, 16}}) {
    const Tensor x = pitched({rows, groups * d}), w = random_f32({groups * d, d}), y = pitched_output({rows, groups * d});
    grouped_linear(ctx(), x, w, y);
    expect_close(y, reference::grouped_linear(x, w), d, "grouped_linear " + Shape{rows, groups, d}.to_string());
    expect_thread_independent(
        [&] {
          const Tensor again = output({rows, groups * d});
          grouped_linear(ctx(), x, w, again);
          return again;
        },
        "grouped_linear");
  }
}

}  // namespace
}  // namespace linea::test
