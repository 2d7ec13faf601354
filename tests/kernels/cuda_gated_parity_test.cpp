// Products with a gate of many rows, which goes into the weights (gated_weights.h): against the CPU, members alone and in company, gates
// of every member and one of all.
#include "tests/kernels/cuda_parity.h"

namespace linea::test {
namespace {

struct Size {
  int64_t members, gates, rows, in, out;
  std::string text() const {
    return std::to_string(members) + "×" + std::to_string(rows) + " gates " + std::to_string(gates) + ", " + std::to_string(in) + "→" +
           std::to_string(out);
  }
};

// With many rows and few, ragged tiles, rows of x that are no multiple of four.
constexpr Size kSizes[] = {{2, 2, 2100, 272, 264}, {3, 1, 2048, 528, 528}, {1, 1, 4096, 1040, 136},
                           {2, 1, 2051, 72, 136},  {2, 2, 2049, 528, 520}, {2, 2, 300, 272, 264}};

class CudaGatedParity : public CudaParity {
 protected:
  Pair gate_of(const Size& s) { return floats({s.gates, 2 * s.out}).slice(1, s.out, s.out); }
};

TEST_P(CudaGatedParity, EqualsTheCpu) {
  for (const Size& s : kSizes) {
    const std::array<Weight, 2> w = linear_weight(s.out, s.in);
    const Pair x = random({s.members, s.rows, s.in}), bias = floats({s.out}), residual = random({s.members, s.rows, s.out}),
               gate = gate_of(s);
    for (const bool in_place : {false, true}) {
      for (const bool has_bias : {false, true}) {
        const Pair y = in_place ? random({s.members, s.rows, s.out}) : pitched_output({s.members, s.rows, s.out});
        run([&](Context& ctx, int side) {
          LinearArgs args = {.residual = in_place ? y[side] : residual[side], .gate = gate[side]};
          if (has_bias) args.bias = bias[side];
          linear(ctx, x[side], w[static_cast<size_t>(side)], y[side], args);
        });
        expect_close(y, s.text() + (in_place ? " in place" : "") + (has_bias ? " bias" : ""));
      }
    }
  }
}

// The library's product of the same e4m3 values, for a matrix that is no batch's, with the end in f64.
TEST_P(CudaGatedParity, Fp8EqualsTheProductAndItsEnd) {
  Context ctx = context(1);
  if (!ctx.backend->multiplies_fp8() || dtype() == DType::kF32) GTEST_SKIP() << "no FP8 products for this type here";
  ctx.fp8 = true;
  for (const Size& s :
       {Size{2, 2, 2100, 1040, 528}, Size{3, 1, 2048, 528, 528}, Size{2, 1, 4096, 272, 1040}, Size{2, 2, 2051, 1040, 272}}) {
    const int64_t rows = s.members * s.rows;
    const Weight w = prepare_linear(ctx, random_tensor({s.out, s.in}, 79, dtype(), 1 / std::sqrt(static_cast<float>(s.in))));
    ASSERT_EQ(w.data.dtype(), DType::kF8E4M3);
    const Pair x = random({s.members, s.rows, s.in}), bias = floats({s.out}), y = random({s.members, s.rows, s.out}), gate = gate_of(s),
               product = output({rows, s.out});
    const Tensor before = to_double(y[0]), expected(before.shape(), DType::kF64);
    linear(ctx, x[1].reshape({rows, s.in}), w, product[1], {.bias = bias[1]});
    linear(ctx, x[1], w, y[1], {.bias = bias[1], .residual = y[1], .gate = gate[1]});
    const Tensor plain = to_double(product[1].to(kCpuDevice));
    for (int64_t i = 0; i < expected.elements(); ++i) {
      const int64_t row = i / s.out / (rows / s.gates);
      const double g = gate[0].data<float>()[row * gate[0].stride(0) + i % s.out];
      expected.data<double>()[i] = before.data<double>()[i] + g * plain.data<double>()[i];
    }
    EXPECT_LE(relative_l2(to_double(y[1].to(kCpuDevice)), expected), dtype() == DType::kBF16 ? 0x1p-7 : 0x1p-10) << s.text();
  }
}

TEST_P(CudaGatedParity, MembersAreAlone) {
  for (const bool fp8 : {false, true}) {
    Context ctx = context(1);
    if (fp8 && (!ctx.backend->multiplies_fp8() || dtype() == DType::kF32)) continue;
    ctx.fp8 = fp8;
    for (const int64_t gates : {1, 3}) {
      const Size s = {3, gates, 2100, 528, 528};
      const Weight w = prepare_linear(ctx, random_tensor({s.out, s.in}, 80, dtype(), 1 / std::sqrt(static_cast<float>(s.in))));
      const Pair x = random({s.members, s.rows, s.in}), residual = random({s.members, s.rows, s.out}), bias = floats({s.out}),
                 gate = gate_of(s), y = output({s.members, s.rows, s.out}), one = output({1, s.rows, s.out});
      linear(ctx, x[1], w, y[1], {.bias = bias[1], .residual = residual[1], .gate = gate[1]});
      for (int64_t b = 0; b < s.members; ++b) {
        linear(ctx, x[1].slice(0, b, 1), w, one[1],
               {.bias = bias[1], .residual = residual[1].slice(0, b, 1), .gate = gate[1].slice(0, gates == 1 ? 0 : b, 1)});
        expect_same_bits(one[1], y[1].slice(0, b, 1), s.text() + (fp8 ? " fp8 member " : " member ") + std::to_string(b));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaGatedParity, ::testing::Values(DType::kF32, DType::kBF16, DType::kF16), name_of_type);

}  // namespace
}  // namespace linea::test
