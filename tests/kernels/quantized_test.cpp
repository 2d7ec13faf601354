// Products and look-ups with block-quantised weights against their dequantised values, whose bits the tests of core/quantized.h hold.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "core/quantized.h"
#include "tests/kernels/fixture.h"
#include "tests/kernels/reference.h"

namespace linea::test {
namespace {

class QuantizedTest : public KernelTest {};
LINEA_KERNEL_SUITE(QuantizedTest);

constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kIQ4_NL,
                            DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

// Where a block holds halves: a scale, and an offset in some types.
std::vector<int64_t> halves_of(DType type) {
  switch (type) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K: return {0, 2};
    case DType::kQ2_K: return {80, 82};
    case DType::kQ3_K: return {108};
    case DType::kQ6_K: return {208};
    default: return {0};
  }
}

// Blocks of random bits with small finite scales.
Tensor random_blocks(DType type, int64_t rows, int64_t in, uint32_t seed) {
  std::mt19937 random(seed);
  Tensor w({rows, in}, type);
  auto* bytes = static_cast<uint8_t*>(w.raw());
  for (int64_t i = 0; i < w.bytes(); ++i) bytes[i] = static_cast<uint8_t>(random());
  for (int64_t block = 0; block < w.bytes(); block += block_bytes(type)) {
    for (const int64_t at : halves_of(type)) {
      const Float16 half(std::uniform_real_distribution<float>(-0.02f, 0.02f)(random));
      std::memcpy(bytes + block + at, &half.bits, sizeof(half.bits));
    }
  }
  return w;
}

TEST_P(QuantizedTest, LinearEqualsTheProductWithTheDequantisedMatrix) {
  for (const DType type : kTypes) {
    for (const int64_t in : {block_elements(type), 3 * block_elements(type), int64_t{512}}) {
      for (const int64_t rows : {1, 2, 3, 7, 8, 9, 21, 64, 259}) {
        if (rows > 64 && type != DType::kQ4_K && type != DType::kQ6_K && type != DType::kQ8_0) continue;
        for (const int64_t out : {5, 16, 65, 130}) {
          const std::string what = std::string(name_of(type)) + " " + Shape{rows, in, out}.to_string();
          const Tensor x = pitched({rows, in}), w = random_blocks(type, out, in, static_cast<uint32_t>(rows + out)),
                       y = pitched_output({rows, out});
          linear(ctx(), x, prepare_linear(ctx(), w), y);
          expect_close(y, reference::linear(x, dequantized(w, DType::kF32), {}), in, what);
        }
      }
    }
  }
}

TEST_P(QuantizedTest, LinearFusesBiasActivationGateAndResidual) {
  const int64_t batch = 3, in = 256, out = 80;
  for (const int64_t tokens : {1, 5, 33}) {
    const Tensor x = random({batch, tokens, in}), w = random_blocks(DType::kQ4_K, out, in, 7);
    LinearArgs args;
    args.bias = random_f32({out});
    args.activation = Activation::kSilu;
    args.residual = random({batch, tokens, out});
    args.gate = random_f32({batch, 6, out}).select(1, 2);
    const Tensor expected = reference::linear(x, dequantized(w, DType::kF32), args);
    linear(ctx(), x, prepare_linear(ctx(), w), args.residual, args);
    expect_close(args.residual, expected, in, "all at once, in place");
  }
}

TEST_P(QuantizedTest, LinearHasTheSameBitsForAnyThreadsAndBatch) {
  for (const DType type : {DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    for (const int64_t tokens : {1, 3, 40}) {
      const int64_t batch = 3, in = 512, out = 150;
      const Tensor x = random({batch, tokens, in});
      const Weight w = prepare_linear(ctx(), random_blocks(type, out, in, 3));
      const auto op = [&] {
        const Tensor y = output({batch, tokens, out});
        linear(ctx(), x, w, y);
        return y;
      };
      expect_thread_independent(op, "quantised linear");
      const auto alone = [&](int64_t b) {
        const Tensor y = output({1, tokens, out});
        linear(ctx(), x.slice(0, b, 1), w, y);
        return y;
      };
      expect_member_independent(op(), alone, "quantised linear");
      expect_planned([&](Context& context) { linear(context, x, w, output({batch, tokens, out})); });
    }
  }
}

TEST_P(QuantizedTest, ActivationsThatAreNoNumbersStayNone) {
  for (const DType type : {DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    const Tensor w = random_blocks(type, 16, 256, 1);
    for (const int64_t rows : {1, 9}) {
      for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        const Tensor x = Tensor({rows, 256}, DType::kF32), y({rows, 16}, DType::kF32);
        std::fill_n(x.data<float>(), x.elements(), 1.0f);
        x.data<float>()[40] = bad;
        linear(ctx(), x, prepare_linear(ctx(), w), y);
        for (int64_t i = 0; i < y.elements(); ++i) EXPECT_EQ(std::isfinite(y.data<float>()[i]), i >= 16) << name_of(type) << ", " << i;
      }
    }
  }
}

// Each element as exact as `accuracy` says, relative to the sum of its terms' magnitudes.
void expect_sums(const Tensor& y, const Tensor& x, const Tensor& plain, double accuracy, const std::string& what) {
  const int64_t in = x.dim(1), out = y.dim(1);
  for (int64_t i = 0; i < y.elements(); ++i) {
    double expected = 0, bound = 1e-30;
    for (int64_t k = 0; k < in; ++k) {
      const double term = static_cast<double>(x.data<float>()[i / out * in + k]) * plain.data<float>()[i % out * in + k];
      expected += term, bound += std::abs(term);
    }
    EXPECT_NEAR(y.data<float>()[i], expected, accuracy * bound) << what << ", element " << i;
  }
}

// Where x becomes integers, their scale is that of its largest element: of every order of magnitude, also beside blocks of another one.
TEST_P(QuantizedTest, ActivationsOfAnyMagnitude) {
  const int64_t in = 768, out = 24;
  for (const DType type : {DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    const Tensor w = random_blocks(type, out, in, 9), plain = dequantized(w, DType::kF32);
    for (const int64_t rows : {1, 6}) {
      for (const float magnitude : {0.0f, 1e-40f, 1e-28f, 1e-6f, 1.0f, 1e6f, 1e30f}) {
        const Tensor x = random_f32({rows, in}), y({rows, out}, DType::kF32);
        for (int64_t i = 0; i < x.elements(); ++i) x.data<float>()[i] *= i % in < 512 ? magnitude : magnitude * 1e-3f;
        x.data<float>()[3] = magnitude;  // the largest has the largest integer
        linear(ctx(), x, prepare_linear(ctx(), w), y);
        expect_sums(y, x, plain, 2e-6, std::string(name_of(type)) + ", " + std::to_string(magnitude));
      }
    }
  }
}

// The largest sums there are: all codes and all elements at an end of what they can be. Equal terms in f32 may be rounded the same way
// each time.
TEST_P(QuantizedTest, SumsOfIntegersDoNotOverflow) {
  const int64_t in = 256, out = 32;
  for (const DType type : {DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    for (const uint8_t codes : {0x00, 0xff}) {
      const Tensor w = random_blocks(type, out, in, 4);
      auto* bytes = static_cast<uint8_t*>(w.raw());
      const int64_t begin = type == DType::kQ6_K ? 0 : 16, end = type == DType::kQ6_K ? 192 : block_bytes(type);
      for (int64_t n = 0; n < out; ++n) std::fill(bytes + n * block_bytes(type) + begin, bytes + n * block_bytes(type) + end, codes);
      for (const int64_t rows : {1, 2, 9}) {
        for (const float element : {-3.0f, 3.0f}) {
          const Tensor x({rows, in}, DType::kF32), y({rows, out}, DType::kF32);
          std::fill_n(x.data<float>(), x.elements(), element);
          linear(ctx(), x, prepare_linear(ctx(), w), y);
          expect_sums(y, x, dequantized(w, DType::kF32), in * 0x1p-24, std::string(name_of(type)));
        }
      }
    }
  }
}

TEST_P(QuantizedTest, EmbeddingRowsAreDequantised) {
  const std::vector<int32_t> ids = {4, 0, 4, 9};
  for (const DType type : kTypes) {
    const Tensor table = random_blocks(type, 10, 256, 5), y = pitched_output({4, 256});
    embedding_lookup(ctx(), table, ids, y, 0.5f);
    const Tensor plain = dequantized(table, DType::kF32);
    Tensor expected({4, 256}, DType::kF64);
    for (size_t n = 0; n < ids.size(); ++n) {
      for (int64_t i = 0; i < 256; ++i)
        expected.data<double>()[static_cast<int64_t>(n) * 256 + i] = 0.5 * plain.data<float>()[ids[n] * 256 + i];
    }
    expect_close(y, expected, 1, std::string(name_of(type)));
  }
}

}  // namespace
}  // namespace linea::test
