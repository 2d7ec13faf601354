// app/studio/justified_rows.h: pictures of any proportions in rows of equal width, as photo galleries show them. Linear in the number of
// pictures; a row is found by its height in logarithmic time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace linea::studio {

struct PictureProportion {
  int32_t width = 1, height = 1;
};

struct JustifiedRow {
  size_t first = 0, count = 0;
  float top = 0, height = 0;
};

class JustifiedRows {
 public:
  JustifiedRows() = default;
  // Rows about `row_height` high (never more than 1.5 times), `gap` between pictures and rows.
  JustifiedRows(const std::vector<PictureProportion>& pictures, float width, float row_height, float gap);

  const std::vector<JustifiedRow>& rows() const { return rows_; }
  float height() const { return height_; }
  size_t row_at(float y) const;         // the first row that ends below y
  size_t row_of(size_t picture) const;  // the row that holds it
  // Left edges and widths of a row's pictures.
  struct Place {
    float x = 0, width = 0;
  };
  std::vector<Place> places(const JustifiedRow& row, const std::vector<PictureProportion>& pictures) const;

 private:
  std::vector<JustifiedRow> rows_;
  float height_ = 0, gap_ = 0;
};

}  // namespace linea::studio
