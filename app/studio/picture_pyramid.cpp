#include "app/studio/picture_pyramid.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace linea::studio {

Image halved(const Image& image) {
  Image half;
  half.width = (image.width + 1) / 2, half.height = (image.height + 1) / 2;
  half.pixels.resize(static_cast<size_t>(half.width * half.height * 3));
  uint8_t* out = half.pixels.data();
  for (int64_t y = 0; y < half.height; ++y) {
    const uint8_t* top = image.pixels.data() + 2 * y * image.width * 3;
    const uint8_t* bottom = 2 * y + 1 < image.height ? top + image.width * 3 : top;
    for (int64_t x = 0; x < half.width; ++x) {
      const int64_t left = 6 * x, right = 2 * x + 1 < image.width ? left + 3 : left;
      for (int64_t c = 0; c < 3; ++c) {
        *out++ = static_cast<uint8_t>((top[left + c] + top[right + c] + bottom[left + c] + bottom[right + c] + 2) / 4);
      }
    }
  }
  return half;
}

Image difference_picture(const Image& a, const Image& b) {
  Image result{.width = a.width, .height = a.height, .pixels = std::vector<uint8_t>(a.pixels.size())};
  constexpr int kGain = 4;
  for (int64_t y = 0; y < std::min(a.height, b.height); ++y) {
    const size_t ra = static_cast<size_t>(y * a.width * 3), rb = static_cast<size_t>(y * b.width * 3);
    for (size_t i = 0; i < static_cast<size_t>(std::min(a.width, b.width) * 3); ++i) {
      result.pixels[ra + i] = static_cast<uint8_t>(std::min(255, kGain * std::abs(a.pixels[ra + i] - b.pixels[rb + i])));
    }
  }
  return result;
}

PicturePyramid::PicturePyramid(Image image) {
  levels_.push_back(std::move(image));
  while (std::max(levels_.back().width, levels_.back().height) > kTileSide) levels_.push_back(halved(levels_.back()));
}

PicturePyramid::Tile PicturePyramid::tile(int level_index, int column, int row) const {
  const Image& image = level(level_index);
  const int64_t x0 = int64_t{column} * kTileSide, y0 = int64_t{row} * kTileSide;
  Tile tile{static_cast<int>(std::min<int64_t>(kTileSide, image.width - x0)),
            static_cast<int>(std::min<int64_t>(kTileSide, image.height - y0)),
            {}};
  tile.rgba.resize(static_cast<size_t>(tile.width) * static_cast<size_t>(tile.height) * 4);
  uint8_t* out = tile.rgba.data();
  for (int y = 0; y < tile.height; ++y) {
    const uint8_t* in = image.pixels.data() + ((y0 + y) * image.width + x0) * 3;
    for (int x = 0; x < tile.width; ++x, in += 3, out += 4) out[0] = in[0], out[1] = in[1], out[2] = in[2], out[3] = 255;
  }
  return tile;
}

int PicturePyramid::level_for(float zoom) const {
  const int level = zoom > 0 ? static_cast<int>(std::floor(std::log2(1 / std::max(1e-6f, zoom)) + 0.01f)) : 0;
  return std::clamp(level, 0, levels() - 1);
}

}  // namespace linea::studio
