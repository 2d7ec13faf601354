// Block-quantised matrices on the first CUDA device against their dequantised values on the CPU, whose bits the tests of core/quantized.h
// hold.
#include <random>

#include "core/quantized.h"
#include "tests/kernels/cuda_parity.h"

namespace linea::test {
namespace {

constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kIQ4_NL,
                            DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

// Blocks of random bits whose halves, where the types keep their scales and offsets, are small and finite.
Tensor random_blocks(DType type, int64_t rows, int64_t in, uint32_t seed) {
  const std::vector<int64_t> halves = type == DType::kQ4_1 || type == DType::kQ5_1 || type == DType::kQ4_K || type == DType::kQ5_K
                                          ? std::vector<int64_t>{0, 2}
                                      : type == DType::kQ2_K ? std::vector<int64_t>{80, 82}
                                      : type == DType::kQ3_K ? std::vector<int64_t>{108}
                                      : type == DType::kQ6_K ? std::vector<int64_t>{208}
                                                             : std::vector<int64_t>{0};
  std::mt19937 random(seed);
  Tensor w({rows, in}, type);
  auto* bytes = static_cast<uint8_t*>(w.raw());
  for (int64_t i = 0; i < w.bytes(); ++i) bytes[i] = static_cast<uint8_t>(random());
  for (int64_t block = 0; block < w.bytes(); block += block_bytes(type)) {
    for (const int64_t at : halves) {
      const Float16 half(std::uniform_real_distribution<float>(-0.02f, 0.02f)(random));
      std::memcpy(bytes + block + at, &half.bits, sizeof(half.bits));
    }
  }
  return w;
}

class CudaQuantizedParity : public CudaParity {
 protected:
  // Blocks on the device beside their values in f32 on the CPU, where the products are computed in f32 and rounded once.
  std::array<Weight, 2> blocks(DType type, int64_t out, int64_t in) {
    const Tensor w = random_blocks(type, out, in, static_cast<uint32_t>(out + in));
    Context cpu = context(0), cuda = context(1);
    cpu.dtype = DType::kF32;
    return {prepare_linear(cpu, dequantized(w, DType::kF32)), prepare_linear(cuda, w)};
  }
  // What `op` makes of x in f32 on the CPU, in the test's type.
  void run_in_f32(const Pair& x, const Pair& y, const std::function<void(Context&, int side, const Tensor& x, const Tensor& y)>& op) {
    run([&](Context& ctx, int side) {
      if (side == 1) return op(ctx, side, x[side], y[side]);
      const Tensor wide = contiguous(x[0]).to(DType::kF32), result = contiguous(y[0]).to(DType::kF32);
      Context f32 = ctx;
      f32.dtype = DType::kF32;
      op(f32, side, wide, result);
      const Tensor narrow = result.to(y[0].dtype());
      for (int64_t row = 0; row < narrow.dim(0); ++row) {
        std::memcpy(static_cast<char*>(y[0].raw()) + row * y[0].row_pitch() * bytes_of(y[0].dtype()),
                    static_cast<const char*>(narrow.raw()) + row * narrow.dim(1) * bytes_of(narrow.dtype()),
                    static_cast<size_t>(narrow.dim(1) * bytes_of(narrow.dtype())));
      }
    });
  }

 private:
  static Tensor contiguous(const Tensor& t) {
    Tensor result(t.shape(), t.dtype());
    const int64_t width = t.dim(1) * bytes_of(t.dtype());
    for (int64_t row = 0; row < t.dim(0); ++row) {
      std::memcpy(static_cast<char*>(result.raw()) + row * width,
                  static_cast<const char*>(t.raw()) + row * t.row_pitch() * bytes_of(t.dtype()), static_cast<size_t>(width));
    }
    return result;
  }
};

INSTANTIATE_TEST_SUITE_P(Cuda, CudaQuantizedParity, ::testing::Values(DType::kF32, DType::kBF16, DType::kF16), name_of_type);

// A few rows go straight from the blocks, more through dequantised tiles.
TEST_P(CudaQuantizedParity, Linear) {
  for (const DType type : kTypes) {
    for (const int64_t in : {block_elements(type), 3 * block_elements(type), int64_t{1280}, int64_t{4096 + 768}}) {
      for (const int64_t rows : {1, 2, 3, 4, 5, 40}) {
        for (const int64_t out : {5, 72}) {
          const std::array<Weight, 2> w = blocks(type, out, in);
          const Pair x = pitched({rows, in}), y = pitched_output({rows, out});
          run_in_f32(x, y, [&](Context& ctx, int side, const Tensor& from, const Tensor& to) {
            linear(ctx, from, w[static_cast<size_t>(side)], to);
          });
          expect_close(y, std::string(name_of(type)) + " " + Shape{rows, in, out}.to_string(), 1e-5);
        }
      }
    }
  }
}

// Every ending, several types and a plain matrix in one call, as a layer of a language model has them.
TEST_P(CudaQuantizedParity, Projections) {
  constexpr int64_t kIn = 512;
  for (const int64_t rows : {1, 4, 9}) {
    const std::array<Weight, 2> a = blocks(DType::kQ8_0, 96, kIn), b = blocks(DType::kQ4_K, 64, kIn), c = blocks(DType::kQ8_0, 40, kIn);
    const Pair x = random({rows, kIn}, 0.1f), bias = floats({96}), sigmoid = output({rows, 96}), squares = output({rows, 64});
    const Pair sum = floats({rows, 40});
    const auto step = [&](int which, const Pair& y) {
      run_in_f32(x, y, [&](Context& ctx, int side, const Tensor& from, const Tensor& to) {
        const auto i = static_cast<size_t>(side);
        const Projection first = {.x = from, .w = &a[i], .y = to, .bias = bias[side], .function = Function::kSigmoid};
        const Projection second = {.x = from, .w = &b[i], .y = to, .function = Function::kReluSquared};
        const Projection third = {.x = from, .w = &c[i], .y = to, .residual = to};
        project(ctx, {which == 0 ? &first : which == 1 ? &second : &third, 1});
      });
      expect_close(y, "projection " + std::to_string(which) + " of " + std::to_string(rows), 1e-5);
    };
    step(0, sigmoid);
    step(1, squares);
    step(2, sum);
    // Together they give the bits that they give alone.
    const Pair again = output({rows, 96}), again_squares = output({rows, 64});
    Context ctx = context(1);
    const Projection both[] = {{.x = x[1], .w = &a[1], .y = again[1], .bias = bias[1], .function = Function::kSigmoid},
                               {.x = x[1], .w = &b[1], .y = again_squares[1], .function = Function::kReluSquared}};
    project(ctx, both);
    expect_same_bits(again[1], sigmoid[1], "sigmoid of two projections");
    expect_same_bits(again_squares[1], squares[1], "squares of two projections");
  }
}

// A few rows of plain matrices go into the launch of blocks, those of one row at least.
TEST_P(CudaQuantizedParity, PlainMatricesBesideBlocks) {
  Context ctx = context(1);
  for (const int64_t in : {512, 2560, 4096}) {
    const std::array<Weight, 2> a = blocks(DType::kQ4_0, 72, in), b = blocks(DType::kQ4_K, 40, in);
    const Weight plain = prepare_linear(ctx, random_tensor({99, in}, 11, dtype(), 1 / std::sqrt(static_cast<float>(in))));
    for (const int64_t rows : {1, 2, 4}) {
      const Pair x = random({rows, in}), z = random({rows, in}), bias = floats({99});
      const std::array<Pair, 3> alone = {output({rows, 72}), output({rows, 40}), output({rows, 99})};
      const std::array<Pair, 3> together = {output({rows, 72}), output({rows, 40}), output({rows, 99})};
      const Pair sums = output({rows, 99}, DType::kF32), sums_together = output({rows, 99}, DType::kF32);
      const auto all = [&](const std::array<Pair, 3>& y, const Pair& f32) {
        return std::vector<Projection>{{.x = z[1], .w = &plain, .y = y[2][1], .bias = bias[1], .function = Function::kTanh},
                                       {.x = x[1], .w = &a[1], .y = y[0][1]},
                                       {.x = x[1], .w = &b[1], .y = y[1][1], .function = Function::kSigmoid},
                                       {.x = x[1], .w = &plain, .y = f32[1]}};
      };
      for (const Projection& p : all(alone, sums)) project(ctx, {&p, 1});
      project(ctx, all(together, sums_together));
      const std::string what = " of " + std::to_string(rows) + " rows of " + std::to_string(in);
      for (size_t i = 0; i < alone.size(); ++i) expect_same_bits(together[i][1], alone[i][1], "projection " + std::to_string(i) + what);
      expect_same_bits(sums_together[1], sums[1], "f32" + what);
    }
  }
}

// Matrices of 8-bit floats with a scale a row: a few rows of x stay as they are, more are rounded like the matrix.
TEST_P(CudaQuantizedParity, Fp8Rows) {
  constexpr int64_t kOut = 512;
  Context plain = context(1), narrow = context(1);
  if (dtype() == DType::kF32 || !narrow.backend->multiplies_fp8()) GTEST_SKIP() << "no FP8 products for this type here";
  narrow.fp8 = true;
  for (const int64_t in : {1024, 1056, 9216, 16384}) {  // whole steps of four pieces, and not; rows of more threads
    const Tensor w = random_tensor({kOut, in}, 5, dtype(), 1 / 32.0f);
    const Weight whole = prepare_linear(plain, w), rounded = prepare_linear(narrow, w);
    ASSERT_EQ(rounded.data.dtype(), DType::kF8E4M3);
    for (const int64_t rows : {1, 3, 4, 33}) {
      const Pair x = pitched({rows, in}), expected = output({rows, kOut}), y = output({rows, kOut});
      linear(plain, x[1], whole, expected[1]);
      linear(narrow, x[1], rounded, y[1]);
      const double error = relative_l2(y[1].to(kCpuDevice), expected[1].to(kCpuDevice));
      const std::string what = std::to_string(rows) + " rows of " + std::to_string(in);
      EXPECT_LE(error, 0.05) << what;
      EXPECT_GE(error, 0.005) << what;
      // As one of several projections, which have another kernel.
      const Pair projected = output({rows, kOut}), bias = floats({kOut}), sum = floats({rows, kOut}), biased = output({rows, kOut});
      const Pair plain_sum = {sum.wide, {sum[0], sum[1].to(kCpuDevice).to(kCuda)}};
      const Projection all[] = {{.x = x[1], .w = &rounded, .y = projected[1]},
                                {.x = x[1], .w = &whole, .y = biased[1], .bias = bias[1]},
                                {.x = x[1], .w = &rounded, .y = sum[1], .bias = bias[1], .residual = sum[1]}};
      project(narrow, all);
      const double unit = dtype() == DType::kBF16 ? 0x1p-8 : 0x1p-11;
      EXPECT_LE(relative_l2(projected[1].to(kCpuDevice), y[1].to(kCpuDevice)), 2 * unit) << what;
      const Pair alone_biased = output({rows, kOut});
      const Projection biased_alone[] = {{.x = x[1], .w = &whole, .y = alone_biased[1], .bias = bias[1]}};
      project(plain, biased_alone);
      expect_same_bits(biased[1], alone_biased[1], "a plain matrix beside 8-bit ones, " + what);
      const Projection alone[] = {{.x = x[1], .w = &whole, .y = plain_sum[1], .bias = bias[1], .residual = plain_sum[1]}};
      project(plain, alone);
      EXPECT_LE(relative_l2(sum[1].to(kCpuDevice), plain_sum[1].to(kCpuDevice)), 0.05) << what;
    }
  }
}

}  // namespace
}  // namespace linea::test
