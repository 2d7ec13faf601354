#include "dit/pipeline/aspect_ratio.h"

#include <gtest/gtest.h>

namespace linea {
namespace {

TEST(AspectRatio, NearestTrainedSize) {
  EXPECT_EQ(nearest_trained_size(32, {1024, 1024}), (PictureSize{1024, 1024}));
  EXPECT_EQ(nearest_trained_size(16, {512, 512}), (PictureSize{512, 512}));
  EXPECT_EQ(nearest_trained_size(16, {64, 96}), (PictureSize{416, 608}));
  EXPECT_EQ(nearest_trained_size(64, {2048, 2048}), (PictureSize{2048, 2048}));
  EXPECT_EQ(nearest_trained_size(128, {4096, 4096}), (PictureSize{4096, 4096}));
  EXPECT_EQ(nearest_trained_size(128, {4096, 1024}), (PictureSize{8192, 2048}));
  EXPECT_EQ(nearest_trained_size(32, {32, 32000}), (PictureSize{512, 2048}));
  EXPECT_EQ(nearest_trained_size(32, {32000, 32}), (PictureSize{2048, 512}));
  EXPECT_EQ(nearest_trained_size(48, {1024, 1024}), std::nullopt);
}

}  // namespace
}  // namespace linea
