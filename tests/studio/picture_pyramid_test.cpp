#include "app/studio/picture_pyramid.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

namespace linea::studio {
namespace {

Image gradient(int64_t width, int64_t height) {
  Image image;
  image.width = width, image.height = height;
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (const int64_t v : {x % 256, y % 256, (x + y) % 256}) image.pixels.push_back(static_cast<uint8_t>(v));
    }
  }
  return image;
}

TEST(PicturePyramid, LevelsHalveDownToOneTile) {
  const PicturePyramid p(gradient(1500, 700));
  ASSERT_EQ(p.levels(), 3);
  EXPECT_EQ(p.level(1).width, 750);
  EXPECT_EQ(p.level(2).height, 175);
  EXPECT_EQ(p.columns(0), 3);
  EXPECT_EQ(p.rows(0), 2);
}

TEST(PicturePyramid, TilesAreThePictureExactly) {
  const Image image = gradient(1030, 520);
  const PicturePyramid p(image);
  size_t pixels = 0;
  for (int row = 0; row < p.rows(0); ++row) {
    for (int column = 0; column < p.columns(0); ++column) {
      const PicturePyramid::Tile tile = p.tile(0, column, row);
      pixels += static_cast<size_t>(tile.width) * static_cast<size_t>(tile.height);
      for (int y = 0; y < tile.height; ++y) {
        for (int x = 0; x < tile.width; ++x) {
          const uint8_t* want = image.pixels.data() + ((row * kTileSide + y) * image.width + column * kTileSide + x) * 3;
          const uint8_t* got = tile.rgba.data() + (static_cast<size_t>(y) * static_cast<size_t>(tile.width) + static_cast<size_t>(x)) * 4;
          ASSERT_EQ(std::memcmp(want, got, 3), 0);
          ASSERT_EQ(got[3], 255);
        }
      }
    }
  }
  EXPECT_EQ(pixels, 1030u * 520u);
}

TEST(PicturePyramid, HalvingAveragesAndRepeatsEdges) {
  Image image;
  image.width = 3, image.height = 1;
  image.pixels = {0, 0, 0, 10, 20, 30, 100, 100, 100};
  const Image half = halved(image);
  ASSERT_EQ(half.width, 2);
  ASSERT_EQ(half.height, 1);
  EXPECT_EQ(half.pixels, (std::vector<uint8_t>{5, 10, 15, 100, 100, 100}));
}

TEST(PicturePyramid, ChoosesTheLevelOfTheZoom) {
  const PicturePyramid p(gradient(4096, 16));
  EXPECT_EQ(p.level_for(4), 0);
  EXPECT_EQ(p.level_for(1), 0);
  EXPECT_EQ(p.level_for(0.6f), 0);
  EXPECT_EQ(p.level_for(0.5f), 1);
  EXPECT_EQ(p.level_for(0.001f), p.levels() - 1);
}

TEST(PicturePyramid, Difference) {
  Image a = gradient(4, 4), b = gradient(4, 4);
  b.pixels[5] = static_cast<uint8_t>(b.pixels[5] + 3);
  b.pixels[7] = 255;
  const Image d = difference_picture(a, b);
  EXPECT_EQ(d.pixels[5], 12);
  EXPECT_EQ(d.pixels[7], 255);
  EXPECT_EQ(std::accumulate(d.pixels.begin(), d.pixels.end(), 0), 267);
  EXPECT_EQ(difference_picture(a, Image{}).pixels, std::vector<uint8_t>(a.pixels.size()));
}

}  // namespace
}  // namespace linea::studio
