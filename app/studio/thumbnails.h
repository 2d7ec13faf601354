// app/studio/thumbnails.h: small pictures of the library on the graphics card, fetched when they are first drawn: from the library's store,
// or made from the file and stored there.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "app/studio/background.h"
#include "app/studio/picture_texture.h"
#include "app/studio/ui.h"

namespace linea::studio {

class Thumbnails {
 public:
  explicit Thumbnails(Background& background) : background_(background) {}

  // Null until it is there; then asks for it. Ids of the library.
  const Texture* find(int64_t picture);
  void end_frame();  // sends what this frame asked for, and drops what has not been seen for long
  void forget(int64_t picture);

 private:
  struct Entry {
    Texture texture;
    uint64_t used = 0;
  };
  void fetch(std::vector<int64_t> pictures);
  void make(int64_t picture);
  void arrive(int64_t picture, const Image& image);

  Background& background_;
  std::map<int64_t, Entry> entries_;
  std::set<int64_t> asked_, failed_;
  std::vector<int64_t> wanted_;
  uint64_t frame_ = 0;
};

// At most `side` pixels wide and high, by halving.
Image reduced(Image image, int64_t side);

inline constexpr int64_t kThumbnailSide = 480;

// The picture filling the rectangle (`cover`: cut at the longer sides), or a plain ground until it is there.
void draw_thumbnail(Ui& ui, Thumbnails& thumbnails, int64_t picture, const Rect& rect, bool cover);

}  // namespace linea::studio
