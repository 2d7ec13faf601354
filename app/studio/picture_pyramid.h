// app/studio/picture_pyramid.h: a picture and its halves, quarters, … in tiles of at most 512 × 512, as the viewer uploads them.
//
// Made on a background thread, immutable afterwards. Memory: 4/3 of the picture.
#pragma once

#include <memory>
#include <vector>

#include "core/image.h"

namespace linea::studio {

inline constexpr int kTileSide = 512;

class PicturePyramid {
 public:
  explicit PicturePyramid(Image image);

  int levels() const { return static_cast<int>(levels_.size()); }
  const Image& level(int index) const { return levels_[static_cast<size_t>(index)]; }
  int64_t width() const { return levels_[0].width; }
  int64_t height() const { return levels_[0].height; }
  int columns(int level_index) const { return static_cast<int>((level(level_index).width + kTileSide - 1) / kTileSide); }
  int rows(int level_index) const { return static_cast<int>((level(level_index).height + kTileSide - 1) / kTileSide); }

  // Pixels of a tile, [height, width, 4] with alpha 255, and its size.
  struct Tile {
    int width = 0, height = 0;
    std::vector<uint8_t> rgba;
  };
  Tile tile(int level_index, int column, int row) const;

  // The level whose pixels are nearest to the screen's at this zoom (screen pixels a picture pixel), not smaller.
  int level_for(float zoom) const;

 private:
  std::vector<Image> levels_;
};

// Half the size, each pixel the mean of 2 × 2 (sides are rounded up; edges repeat).
Image halved(const Image& image);
// |a − b| of each channel, four times as bright; the size of `a` (outside of `b`: black).
Image difference_picture(const Image& a, const Image& b);

}  // namespace linea::studio
