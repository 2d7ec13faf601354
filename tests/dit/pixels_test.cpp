#include "dit/pipeline/pixels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/pixels.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

// Every 8-bit value, the halves between them, and what lies outside.
TEST(Pixels, AreRoundedHalfToEvenAndClamped) {
  const int64_t steps = 4 * 255;
  const Tensor values({1, 1, steps + 1 + 2, 3}, DType::kF32);
  for (int64_t i = 0; i < values.elements(); ++i) {
    values.data<float>()[i] = (static_cast<float>(i / 3) / static_cast<float>(steps)) * 2.0f - 1.0f + (i % 3 == 2 ? 1e-3f : 0.0f);
  }
  const Image image = to_image(values);
  ASSERT_EQ(image.pixels.size(), static_cast<size_t>(values.elements()));
  for (int64_t i = 0; i < values.elements(); ++i) {
    const float unit = std::clamp(values.data<float>()[i] * 0.5f + 0.5f, 0.0f, 1.0f);
    EXPECT_EQ(image.pixels[static_cast<size_t>(i)], static_cast<int>(std::nearbyint(unit * 255.0f))) << "value " << i;
  }
}

// Halves, what lies outside, and a number of values that no vector divides.
TEST(Pixels, AreTheSameFromEveryDevice) {
  constexpr int64_t kCount = 3 * 1021 + 2;
  const Tensor values({kCount}, DType::kF32);
  for (int64_t i = 0; i < kCount; ++i) values.data<float>()[i] = static_cast<float>(i % 1531) / 765.0f * 1.1f - 1.1f;
  std::vector<uint8_t> expected(kCount), actual(kCount);
  to_pixels({values.data<float>(), expected.size()}, expected);
  test::TestContext ctx;
  download_pixels(*ctx, values.to(test::test_device()), actual);
  EXPECT_EQ(actual, expected);
}

TEST(Pixels, ValuesThatAreNoNumbersAreTold) {
  constexpr int64_t kCount = (1 << 17) + 3;
  const Tensor values({kCount}, DType::kF32);
  std::fill_n(values.data<float>(), kCount, 0.25f);
  std::vector<uint8_t> pixels(kCount);
  test::TestContext ctx;
  const auto are_numbers = [&] {
    const bool on_device = download_pixels(*ctx, values.to(test::test_device()), pixels);
    EXPECT_EQ(to_pixels({values.data<float>(), pixels.size()}, pixels), on_device);
    return on_device;
  };
  EXPECT_TRUE(are_numbers());
  values.data<float>()[3] = 3e38f;
  EXPECT_TRUE(are_numbers());
  for (const int64_t place : {int64_t{0}, kCount / 2, kCount - 1}) {
    for (const float bad : {std::nanf(""), INFINITY, -INFINITY}) {
      const float before = std::exchange(values.data<float>()[place], bad);
      EXPECT_FALSE(are_numbers()) << place << " " << bad;
      values.data<float>()[place] = before;
    }
  }
}

TEST(Pixels, OfAPictureComeBack) {
  Image image{37, 21, 3, std::vector<uint8_t>(37 * 21 * 3)};
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * 7919);
  EXPECT_EQ(to_image(from_image(image, {21, 37})).pixels, image.pixels);
}

}  // namespace
}  // namespace linea
