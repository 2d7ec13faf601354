// app/studio/picture_texture.h: a picture on the graphics card: tiles are uploaded when they are first seen, a few in each frame; until
// then a coarser level stands in, so that nothing ever flickers or waits.
#pragma once

#include <imgui.h>

#include <map>
#include <memory>
#include <tuple>

#include "app/studio/geometry.h"
#include "app/studio/picture_pyramid.h"

namespace linea::studio {

// What may still be uploaded in this frame, over all pictures.
class UploadBudget {
 public:
  void begin_frame() { left_ = kBytesPerFrame, missed_ = false; }
  bool take(size_t bytes) {
    if (left_ <= 0) return missed_ = true, false;
    left_ -= static_cast<long>(bytes);
    return true;
  }
  bool missed() const { return missed_; }

 private:
  static constexpr long kBytesPerFrame = 4L * kTileSide * kTileSide * 4;
  long left_ = kBytesPerFrame;
  bool missed_ = false;
};

class Texture {
 public:
  Texture() = default;
  Texture(int width, int height, const uint8_t* rgba);
  ~Texture();
  Texture(Texture&& other) noexcept;
  Texture& operator=(Texture&& other) noexcept;
  void replace(const uint8_t* rgba);  // of the same size
  void set_nearest(bool nearest);
  int width() const { return width_; }
  int height() const { return height_; }
  ImTextureID id() const { return (ImTextureID)(intptr_t)name_; }  // NOLINT: an integer or a pointer, as ImGui's release has it
  explicit operator bool() const { return name_ != 0; }

 private:
  unsigned int name_ = 0;
  int width_ = 0, height_ = 0;
  bool nearest_ = false;
};

class PictureTexture {
 public:
  explicit PictureTexture(std::shared_ptr<const PicturePyramid> pyramid) : pyramid_(std::move(pyramid)) {}

  const PicturePyramid& pyramid() const { return *pyramid_; }
  // Draws the picture into `rect` (all of it; clip to what is seen), with the tiles that touch `visible`.
  void draw(ImDrawList& list, const Rect& rect, const Rect& visible, UploadBudget& budget);

 private:
  using Key = std::tuple<int, int, int>;  // level, column, row
  struct Entry {
    Texture texture;
    uint64_t used = 0;
  };
  Entry* tile(const Key& key, UploadBudget& budget);
  void draw_level(ImDrawList& list, int level, const Rect& rect, const Rect& visible, UploadBudget& budget, bool nearest);
  void drop_old();

  std::shared_ptr<const PicturePyramid> pyramid_;
  std::map<Key, Entry> tiles_;
  uint64_t frame_ = 0;
};

// Small pictures of any size, uploaded whole: thumbnails and previews.
Texture make_texture(const Image& image);

}  // namespace linea::studio
