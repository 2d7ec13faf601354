#include "app/studio/justified_rows.h"

#include <algorithm>

namespace linea::studio {
namespace {

// Very long pictures are shown cut, or they would make rows of no height.
float aspect(const PictureProportion& p) {
  return std::clamp(static_cast<float>(p.width) / static_cast<float>(std::max(1, p.height)), 0.25f, 4.0f);
}

}  // namespace

JustifiedRows::JustifiedRows(const std::vector<PictureProportion>& pictures, float width, float row_height, float gap) : gap_(gap) {
  for (size_t first = 0; first < pictures.size();) {
    float sum = 0;
    size_t end = first;
    while (end < pictures.size()) {
      sum += aspect(pictures[end++]);
      if (sum * row_height + gap * static_cast<float>(end - first - 1) >= width) break;
    }
    const float room = width - gap * static_cast<float>(end - first - 1);
    const float height = std::min(room / sum, row_height * (end == pictures.size() ? 1.0f : 1.5f));
    rows_.push_back({first, end - first, height_, std::max(1.0f, height)});
    height_ += rows_.back().height + gap;
    first = end;
  }
}

size_t JustifiedRows::row_at(float y) const {
  const auto found = std::partition_point(rows_.begin(), rows_.end(), [&](const JustifiedRow& row) { return row.top + row.height < y; });
  return static_cast<size_t>(found - rows_.begin());
}

size_t JustifiedRows::row_of(size_t picture) const {
  const auto found =
      std::partition_point(rows_.begin(), rows_.end(), [&](const JustifiedRow& row) { return row.first + row.count <= picture; });
  return static_cast<size_t>(found - rows_.begin());
}

std::vector<JustifiedRows::Place> JustifiedRows::places(const JustifiedRow& row, const std::vector<PictureProportion>& pictures) const {
  std::vector<Place> places;
  float x = 0;
  for (size_t i = row.first; i < row.first + row.count; ++i) {
    const float width = aspect(pictures[i]) * row.height;
    places.push_back({x, width});
    x += width + gap_;
  }
  return places;
}

}  // namespace linea::studio
