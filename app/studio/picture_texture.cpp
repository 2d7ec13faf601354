#include "app/studio/picture_texture.h"

#include <GL/gl.h>

#include <utility>
#include <vector>

#include "app/studio/ui_guard.h"

#ifndef GL_CLAMP_TO_EDGE
#define GL_CLAMP_TO_EDGE 0x812F
#endif

namespace linea::studio {
namespace {

constexpr size_t kMaxTiles = 160;  // 160 MiB of full tiles

void set_filter(bool nearest) {
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, nearest ? GL_NEAREST : GL_LINEAR);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR);
}

std::vector<uint8_t> to_rgba(const Image& image) {
  std::vector<uint8_t> rgba(static_cast<size_t>(image.width * image.height) * 4);
  for (size_t i = 0; i < rgba.size() / 4; ++i) {
    for (size_t c = 0; c < 3; ++c) rgba[4 * i + c] = image.pixels[3 * i + c];
    rgba[4 * i + 3] = 255;
  }
  return rgba;
}

}  // namespace

Texture::Texture(int width, int height, const uint8_t* rgba) : width_(width), height_(height) {
  const AllowWaiting allow;
  glGenTextures(1, &name_);
  glBindTexture(GL_TEXTURE_2D, name_);
  set_filter(false);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
  glPixelStorei(GL_UNPACK_ALIGNMENT, 1);
  glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, width, height, 0, GL_RGBA, GL_UNSIGNED_BYTE, rgba);
}

Texture::~Texture() {
  const AllowWaiting allow;
  if (name_) glDeleteTextures(1, &name_);
}

Texture::Texture(Texture&& o) noexcept : name_(std::exchange(o.name_, 0)), width_(o.width_), height_(o.height_), nearest_(o.nearest_) {}

Texture& Texture::operator=(Texture&& o) noexcept {
  std::swap(name_, o.name_);
  width_ = o.width_, height_ = o.height_, nearest_ = o.nearest_;
  return *this;
}

void Texture::replace(const uint8_t* rgba) {
  const AllowWaiting allow;
  glBindTexture(GL_TEXTURE_2D, name_);
  glPixelStorei(GL_UNPACK_ALIGNMENT, 1);
  glTexSubImage2D(GL_TEXTURE_2D, 0, 0, 0, width_, height_, GL_RGBA, GL_UNSIGNED_BYTE, rgba);
}

void Texture::set_nearest(bool nearest) {
  if (nearest == nearest_) return;
  const AllowWaiting allow;
  nearest_ = nearest;
  glBindTexture(GL_TEXTURE_2D, name_);
  set_filter(nearest);
}

Texture make_texture(const Image& image) { return {static_cast<int>(image.width), static_cast<int>(image.height), to_rgba(image).data()}; }

PictureTexture::Entry* PictureTexture::tile(const Key& key, UploadBudget& budget) {
  auto found = tiles_.find(key);
  if (found == tiles_.end()) {
    if (!budget.take(size_t{kTileSide} * kTileSide * 4)) return nullptr;
    const auto [level, column, row] = key;
    const PicturePyramid::Tile pixels = pyramid_->tile(level, column, row);
    found = tiles_.emplace(key, Entry{Texture(pixels.width, pixels.height, pixels.rgba.data()), frame_}).first;
  }
  found->second.used = frame_;
  return &found->second;
}

void PictureTexture::draw_level(ImDrawList& list, int level, const Rect& rect, const Rect& visible, UploadBudget& budget, bool nearest) {
  const Image& image = pyramid_->level(level);
  const float sx = rect.w / static_cast<float>(image.width), sy = rect.h / static_cast<float>(image.height);
  for (int row = 0; row < pyramid_->rows(level); ++row) {
    for (int column = 0; column < pyramid_->columns(level); ++column) {
      const float x = rect.x + static_cast<float>(column * kTileSide) * sx, y = rect.y + static_cast<float>(row * kTileSide) * sy;
      const float w = std::min<float>(kTileSide, static_cast<float>(image.width - column * kTileSide)) * sx;
      const float h = std::min<float>(kTileSide, static_cast<float>(image.height - row * kTileSide)) * sy;
      const Rect place{x, y, w, h};
      if (place.intersect(visible).empty()) continue;
      Entry* entry = tile({level, column, row}, budget);
      if (!entry) continue;
      entry->texture.set_nearest(nearest);
      list.AddImage(entry->texture.id(), place.min(), place.max());
    }
  }
}

void PictureTexture::draw(ImDrawList& list, const Rect& rect, const Rect& visible, UploadBudget& budget) {
  ++frame_;
  const float zoom = rect.w / static_cast<float>(pyramid_->width());
  const int level = pyramid_->level_for(zoom), last = pyramid_->levels() - 1;
  draw_level(list, last, rect, visible, budget, zoom >= 2 && last == 0);
  if (level != last) draw_level(list, level, rect, visible, budget, zoom >= 2);
  if (tiles_.size() > kMaxTiles) drop_old();
}

void PictureTexture::drop_old() {
  std::erase_if(tiles_,
                [&](const auto& entry) { return entry.second.used != frame_ && std::get<0>(entry.first) != pyramid_->levels() - 1; });
}

}  // namespace linea::studio
