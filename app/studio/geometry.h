// app/studio/geometry.h: points and rectangles on the screen, in pixels of the framebuffer.
#pragma once

#include <imgui.h>

#include <algorithm>

namespace linea::studio {

struct Rect {
  float x = 0, y = 0, w = 0, h = 0;

  float right() const { return x + w; }
  float bottom() const { return y + h; }
  ImVec2 min() const { return {x, y}; }
  ImVec2 max() const { return {x + w, y + h}; }
  ImVec2 center() const { return {x + w / 2, y + h / 2}; }
  bool empty() const { return w <= 0 || h <= 0; }
  bool contains(ImVec2 p) const { return p.x >= x && p.y >= y && p.x < x + w && p.y < y + h; }
  Rect inset(float by) const { return {x + by, y + by, std::max(0.0f, w - 2 * by), std::max(0.0f, h - 2 * by)}; }
  Rect intersect(const Rect& o) const {
    const float l = std::max(x, o.x), t = std::max(y, o.y);
    return {l, t, std::max(0.0f, std::min(right(), o.right()) - l), std::max(0.0f, std::min(bottom(), o.bottom()) - t)};
  }
};

// Parts cut off from an edge; `r` keeps the rest.
inline Rect cut_left(Rect& r, float w) {
  const Rect part{r.x, r.y, std::min(w, r.w), r.h};
  r.x += part.w, r.w -= part.w;
  return part;
}
inline Rect cut_right(Rect& r, float w) {
  const float part = std::min(w, r.w);
  r.w -= part;
  return {r.x + r.w, r.y, part, r.h};
}
inline Rect cut_top(Rect& r, float h) {
  const Rect part{r.x, r.y, r.w, std::min(h, r.h)};
  r.y += part.h, r.h -= part.h;
  return part;
}
inline Rect cut_bottom(Rect& r, float h) {
  const float part = std::min(h, r.h);
  r.h -= part;
  return {r.x, r.y + r.h, r.w, part};
}

}  // namespace linea::studio
