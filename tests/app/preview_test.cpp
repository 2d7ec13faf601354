// Previews from latents: the affine map, and its time, which every step pays.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ctime>

#include "app/engine/preview.h"
#include "tests/support/compare.h"
#include "tests/support/slowdown.h"

namespace linea {
namespace {

constexpr int64_t kChannels = 32;

PreviewMap random_map() {
  const Tensor values = test::random_tensor({kChannels + 1, 3}, 1, DType::kF32, 0.2f);
  PreviewMap map;
  for (int64_t row = 0; row <= kChannels; ++row) {
    const float* v = values.data<float>() + row * 3;
    map.rows.push_back({v[0], v[1], v[2]});
  }
  return map;
}

TEST(Preview, IsTheAffineMapOfEveryPosition) {
  const PreviewMap map = random_map();
  const Tensor latents = test::random_tensor({1, 5, 7, kChannels}, 2, DType::kF32, 1.0f);
  const Image picture = preview_picture(map, latents);
  ASSERT_EQ(picture.width, 7);
  ASSERT_EQ(picture.height, 5);
  for (int64_t pixel = 0; pixel < 5 * 7; ++pixel) {
    for (size_t k = 0; k < 3; ++k) {
      double level = static_cast<double>(map.rows[0][k]);
      for (int64_t c = 0; c < kChannels; ++c) {
        level += static_cast<double>(map.rows[static_cast<size_t>(c + 1)][k]) *
                 static_cast<double>(latents.data<float>()[pixel * kChannels + c]);
      }
      const double expected = std::clamp(level * 127.5 + 127.5, 0.0, 255.0);
      EXPECT_NEAR(picture.pixels[static_cast<size_t>(pixel) * 3 + k], expected, 0.51);
    }
  }
}

// Latents of pictures of 512² and 1024² pixels: at most a millisecond of a processor.
TEST(Preview, TakesLessThanAMillisecond) {
  const PreviewMap map = random_map();
  for (const int64_t side : {512, 1024}) {
    const Tensor latents = test::random_tensor({1, side / 32, side / 32, kChannels}, 3, DType::kF32, 1.0f);
    double best = 1;
    for (int i = 0; i < 20; ++i) {
      const std::clock_t begin = std::clock();
      preview_picture(map, latents);
      best = std::min(best, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
    }
    std::printf("preview of %lld: %.3f ms\n", static_cast<long long>(side), best * 1e3);
    EXPECT_LE(best, 1e-3 * test::kSlowdown) << side;
  }
}

}  // namespace
}  // namespace linea
