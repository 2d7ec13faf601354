// FP8 products by Hopper's own kernel, with bias, residual and gate, against the library's product of the same e4m3 values: the library
// takes a matrix that is no batch's. Sizes leave the tiles ragged, end sums within a stage and change the gate within a tile.
#include "tests/kernels/cuda_parity.h"

namespace linea::test {
namespace {

struct Size {
  int64_t members, rows, in, out;
};

constexpr Size kSizes[] = {{1, 300, 1040, 2064}, {3, 277, 2240, 2240}, {2, 512, 272, 2304}, {2, 512, 400, 2304}, {2, 1030, 528, 4080}};
// More outputs, which only products without a residual have there. The second has wide tiles for all members and narrow ones for one.
constexpr Size kWideSizes[] = {{2, 512, 2240, 11216}, {3, 512, 272, 6720}, {2, 515, 80, 4112}};

class CudaGemmParity : public CudaParity {
 protected:
  void SetUp() override {
    CudaParity::SetUp();
    if (IsSkipped()) return;
    if (!context(1).backend->multiplies_fp8()) GTEST_SKIP() << "no FP8 products on this device";
  }

  void prepare(const Size& s) {
    Context ctx = context(1);
    ctx.fp8 = true;
    w_ = prepare_linear(ctx, random_tensor({s.out, s.in}, 78, dtype(), 1 / std::sqrt(static_cast<float>(s.in))));
    ASSERT_EQ(w_.data.dtype(), DType::kF8E4M3);
    x_ = random({s.members, s.rows, s.in});
    residual_ = random({s.members, s.rows, s.out});
    bias_ = floats({s.out});
    gate_ = floats({s.members, s.out});
    const Pair y = output({s.members * s.rows, s.out});
    linear(ctx, x_[1].reshape({s.members * s.rows, s.in}), w_, y[1], {.bias = bias_[1]});
    product_ = to_double(y[1].to(kCpuDevice));
  }

  // residual + gate ⊙ product, either of the two left out on demand.
  Tensor expected(const Size& s, bool has_residual, bool has_gate) const {
    const Tensor y(product_.shape(), DType::kF64), residual = to_double(residual_[0]);
    for (int64_t i = 0; i < y.elements(); ++i) {
      const double gate = has_gate ? gate_[0].data<float>()[i / (s.rows * s.out) * s.out + i % s.out] : 1.0;
      y.data<double>()[i] = product_.data<double>()[i] * gate + (has_residual ? residual.data<double>()[i] : 0.0);
    }
    return y;
  }

  void expect_near(const Tensor& y, const Tensor& expected, const std::string& what) const {
    const double bound = dtype() == DType::kBF16 ? 0x1p-7 : 0x1p-10;
    EXPECT_LE(relative_l2(to_double(y.to(kCpuDevice)).reshape(expected.shape()), expected), bound) << what << " " << y.describe();
  }

  Weight w_;
  Pair x_, residual_, bias_, gate_;
  Tensor product_;
};

TEST_P(CudaGemmParity, Ends) {
  for (const Size& s : kSizes) {
    ASSERT_NO_FATAL_FAILURE(prepare(s));
    Context ctx = context(1);
    const Pair plain = output({s.members, s.rows, s.out}), added = output({s.members, s.rows, s.out}),
               gated = output({s.members, s.rows, s.out});
    linear(ctx, x_[1], w_, plain[1], {.bias = bias_[1]});
    linear(ctx, x_[1], w_, added[1], {.bias = bias_[1], .residual = residual_[1]});
    linear(ctx, x_[1], w_, gated[1], {.bias = bias_[1], .residual = residual_[1], .gate = gate_[1]});
    expect_near(plain[1], expected(s, false, false), "bias");
    expect_near(added[1], expected(s, true, false), "residual");
    expect_near(gated[1], expected(s, true, true), "gate");
    linear(ctx, x_[1], w_, residual_[1], {.bias = bias_[1], .residual = residual_[1], .gate = gate_[1]});
    expect_same_bits(residual_[1], gated[1], "the residual is the result");
  }
}

TEST_P(CudaGemmParity, MembersAreAlone) {
  for (const Size& s : kSizes) {
    ASSERT_NO_FATAL_FAILURE(prepare(s));
    Context ctx = context(1);
    const Pair y = output({s.members, s.rows, s.out}), one = output({1, s.rows, s.out});
    const auto end = [&](int64_t first, int64_t count) {
      return LinearArgs{.residual = residual_[1].slice(0, first, count), .gate = gate_[1].slice(0, first, count)};
    };
    linear(ctx, x_[1], w_, y[1], end(0, s.members));
    for (int64_t b = 0; b < s.members; ++b) {
      linear(ctx, x_[1].slice(0, b, 1), w_, one[1], end(b, 1));
      expect_same_bits(one[1], y[1].slice(0, b, 1), "member " + std::to_string(b));
    }
  }
}

TEST_P(CudaGemmParity, WideProducts) {
  for (const Size& s : kWideSizes) {
    ASSERT_NO_FATAL_FAILURE(prepare(s));
    Context ctx = context(1);
    const Pair biased = output({s.members, s.rows, s.out}), plain = output({s.members, s.rows, s.out}), one = output({1, s.rows, s.out});
    linear(ctx, x_[1], w_, biased[1], {.bias = bias_[1]});
    expect_near(biased[1], expected(s, false, false), "bias");
    linear(ctx, x_[1], w_, plain[1]);
    for (int64_t b = 0; b < s.members; ++b) {
      linear(ctx, x_[1].slice(0, b, 1), w_, one[1]);
      expect_same_bits(one[1], plain[1].slice(0, b, 1), "member " + std::to_string(b));
    }
  }
}

TEST_P(CudaGemmParity, TakesTheMemoryThatItPlans) {
  const Size s = kSizes[0];
  ASSERT_NO_FATAL_FAILURE(prepare(s));
  const Pair y = output({s.members, s.rows, s.out});
  const LinearArgs args = {.residual = residual_[1], .gate = gate_[1]};
  Arena plan = Arena::planning(kCuda);
  Context planning = context(1);
  planning.arena = &plan;
  linear(planning, x_[1], w_, y[1], args);
  Arena exact(kCuda, plan.peak());
  Context running = context(1);
  running.arena = &exact;
  linear(running, x_[1], w_, y[1], args);
  EXPECT_EQ(exact.peak(), plan.peak());
}

INSTANTIATE_TEST_SUITE_P(Types, CudaGemmParity, ::testing::Values(DType::kBF16, DType::kF16), name_of_type);

}  // namespace
}  // namespace linea::test
