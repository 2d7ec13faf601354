#include "core/quantized.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "tests/core/fixtures.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

using test::expect_error;

constexpr DType kQuantized[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kIQ4_NL,
                                DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};
constexpr DType kWritable[] = {DType::kQ4_0, DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

const test::Golden& golden() {
  static const test::Golden file("checkpoints/quants.safetensors");
  return file;
}

std::string label(DType type) { return std::string(name_of(type)); }

// Σ (decoded - value)² of one row.
double squared_error(DType type, const float* values, int64_t count) {
  std::vector<uint8_t> blocks(static_cast<size_t>(bytes_for(type, count)));
  std::vector<float> decoded(static_cast<size_t>(count));
  quantize(type, values, blocks.data(), count);
  dequantize(type, blocks.data(), decoded.data(), count);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::pow(static_cast<double>(decoded[static_cast<size_t>(i)]) - values[i], 2);
  return sum;
}

TEST(Quantized, SizesOfBlocks) {
  EXPECT_EQ(block_elements(DType::kF32), 1);
  EXPECT_EQ(block_bytes(DType::kBF16), 2);
  EXPECT_EQ(bytes_for(DType::kQ8_0, 64), 68);
  EXPECT_EQ(bytes_for(DType::kQ6_K, 512), 420);
  EXPECT_EQ(Tensor({3, 256}, DType::kQ4_K).bytes(), 3 * 144);
  EXPECT_EQ(Tensor({3, 256}, DType::kQ4_K).slice(0, 1, 2).bytes(), 2 * 144);
  expect_error(ErrorKind::kInternal, "elements % unit", [] { bytes_for(DType::kQ8_0, 33); });
  expect_error(ErrorKind::kInternal, "is_quantized", [] { bytes_of(DType::kQ8_0); });
}

TEST(Quantized, SlicesWholeBlocks) {
  const Tensor t({2, 96}, DType::kQ8_0);
  const char* base = static_cast<const char*>(t.raw());
  EXPECT_EQ(static_cast<const char*>(t.slice(1, 32, 64).raw()) - base, 34);
  EXPECT_EQ(static_cast<const char*>(t.select(0, 1).raw()) - base, 3 * 34);
  EXPECT_TRUE(test::error_of([&] { t.slice(1, 16, 32); }));
  EXPECT_TRUE(test::error_of([&] { t.slice(1, 0, 16); }));
}

TEST(Quantized, DecodesTheReferencesBits) {
  for (const DType type : kQuantized) {
    const Tensor blocks = golden()[label(type) + ".blocks"], values = golden()[label(type) + ".values"];
    Tensor decoded(values.shape(), DType::kF32);
    dequantize(type, blocks.raw(), decoded.data<float>(), decoded.elements());
    EXPECT_TRUE(test::same_bits(decoded, values)) << label(type);
  }
}

TEST(Quantized, DecodesTensorsOnAllThreads) {
  for (const DType type : kQuantized) {
    Tensor blocks({700, 512}, type);
    std::mt19937 random(1);
    for (int64_t i = 0; i < blocks.bytes(); ++i) static_cast<uint8_t*>(blocks.raw())[i] = static_cast<uint8_t>(random() & 0x3f);
    Tensor expected(blocks.shape(), DType::kF32);
    dequantize(type, blocks.raw(), expected.data<float>(), expected.elements());
    EXPECT_TRUE(test::same_bits(dequantized(blocks, DType::kF32), expected)) << label(type);
    EXPECT_TRUE(test::same_bits(dequantized(blocks, DType::kBF16), expected.to(DType::kBF16))) << label(type);
  }
}

TEST(Quantized, EncodesTheReferencesBits) {
  const Tensor rows = golden()["rows"];
  for (const DType type : {DType::kQ8_0, DType::kQ4_0}) {
    const Tensor encoded = quantized(rows, type), expected = golden()["rows." + label(type)];
    ASSERT_EQ(encoded.bytes(), expected.bytes());
    EXPECT_EQ(std::memcmp(encoded.raw(), expected.raw(), static_cast<size_t>(expected.bytes())), 0) << label(type);
  }
}

// The error of each row, and of all together, against that of ggml's encoder.
TEST(Quantized, EncodesKTypesAsWellAsTheReference) {
  const Tensor rows = golden()["rows"];
  for (const DType type : {DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    const Tensor squares = golden()["rows." + label(type) + ".squares"];
    for (int64_t r = 0; r < rows.dim(0); ++r) {
      const float* row = rows.data<float>() + r * rows.dim(1);
      const double ours = std::sqrt(squared_error(type, row, rows.dim(1))), reference = std::sqrt(squares.data<double>()[r]);
      double norm = 0;
      for (int64_t i = 0; i < rows.dim(1); ++i) norm += static_cast<double>(row[i]) * row[i];
      EXPECT_LE(ours, 1.02 * reference + 1e-4 * std::sqrt(norm)) << label(type) << " row " << r;
    }
  }
}

TEST(Quantized, EncodesTheSameOnAllThreads) {
  const Tensor values = test::random_tensor({400, 512}, 9);
  for (const DType type : kWritable) {
    Tensor expected(values.shape(), type);
    quantize(type, values.data<float>(), expected.raw(), values.elements());
    EXPECT_TRUE(test::same_bits(quantized(values, type), expected)) << label(type);
    EXPECT_TRUE(test::same_bits(quantized(values.to(DType::kBF16), type), quantized(values.to(DType::kBF16).to(DType::kF32), type)));
  }
}

// Values at the ends of float's range may saturate or vanish, but nothing breaks and zeros stay zeros.
TEST(Quantized, SurvivesExtremeValues) {
  std::mt19937 random(2);
  std::vector<float> values(256), decoded(256);
  for (const DType type : kWritable) {
    std::vector<uint8_t> blocks(static_cast<size_t>(bytes_for(type, 256)));
    for (int round = 0; round < 2000; ++round) {
      const int exponent = static_cast<int>(random() % 277) - 149;
      for (float& value : values) {
        value =
            std::ldexp(static_cast<float>(random() % 2001) / 1000 - 1, random() % 8 ? exponent : static_cast<int>(random() % 277) - 149);
        if (random() % 16 == 0) value = random() % 2 ? 0.0f : std::numeric_limits<float>::denorm_min();
      }
      quantize(type, values.data(), blocks.data(), 256);
      dequantize(type, blocks.data(), decoded.data(), 256);
    }
    std::fill(values.begin(), values.end(), 0.0f);
    quantize(type, values.data(), blocks.data(), 256);
    dequantize(type, blocks.data(), decoded.data(), 256);
    for (const float value : decoded) EXPECT_EQ(value, 0.0f);
  }
}

TEST(Quantized, RefusesWhatItCannotEncode) {
  EXPECT_FALSE(can_quantize(DType::kQ2_K));
  EXPECT_FALSE(can_quantize(DType::kF32));
  EXPECT_TRUE(can_quantize(DType::kQ6_K));
  Tensor values({1, 256}, DType::kF32);
  std::fill_n(values.data<float>(), 256, 1.0f);
  values.data<float>()[77] = std::numeric_limits<float>::quiet_NaN();
  for (const DType type : kWritable) expect_error(ErrorKind::kModel, "not finite", [&] { quantized(values, type); });
  expect_error(ErrorKind::kModel, "[2, 48] cannot become q8_0: its rows are not blocks of 32", [] {
    quantized(test::random_tensor({2, 48}, 1), DType::kQ8_0);
  });
  expect_error(ErrorKind::kModel, "cannot become q4_k", [] { quantized(test::random_tensor({}, 1), DType::kQ4_K); });
}

}  // namespace
}  // namespace linea
