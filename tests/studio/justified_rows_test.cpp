#include "app/studio/justified_rows.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

namespace linea::studio {
namespace {

std::vector<PictureProportion> random_pictures(size_t count) {
  std::mt19937 random(3);
  std::vector<PictureProportion> pictures;
  for (size_t i = 0; i < count; ++i)
    pictures.push_back({static_cast<int32_t>(256 + random() % 2000), static_cast<int32_t>(256 + random() % 2000)});
  return pictures;
}

TEST(JustifiedRows, FullRowsFillTheWidth) {
  const auto pictures = random_pictures(500);
  const JustifiedRows rows(pictures, 1000, 200, 8);
  size_t next = 0;
  float top = 0;
  for (size_t r = 0; r < rows.rows().size(); ++r) {
    const JustifiedRow& row = rows.rows()[r];
    EXPECT_EQ(row.first, next);
    EXPECT_NEAR(row.top, top, 0.5);
    next += row.count, top += row.height + 8;
    const auto places = rows.places(row, pictures);
    const float end = places.back().x + places.back().width;
    if (r + 1 < rows.rows().size() && row.height < 299) EXPECT_NEAR(end, 1000, 0.5);
    EXPECT_LE(end, 1000.5);
    EXPECT_LE(row.height, 300.5);
  }
  EXPECT_EQ(next, pictures.size());
}

TEST(JustifiedRows, FindsRowsByHeightAndPicture) {
  const auto pictures = random_pictures(2000);
  const JustifiedRows rows(pictures, 900, 150, 8);
  for (const size_t r : {size_t{0}, rows.rows().size() / 2, rows.rows().size() - 1}) {
    const JustifiedRow& row = rows.rows()[r];
    EXPECT_EQ(rows.row_at(row.top + row.height / 2), r);
    EXPECT_EQ(rows.row_of(row.first), r);
    EXPECT_EQ(rows.row_of(row.first + row.count - 1), r);
  }
}

TEST(JustifiedRows, OddPicturesAndNone) {
  EXPECT_TRUE(JustifiedRows({}, 900, 150, 8).rows().empty());
  const std::vector<PictureProportion> odd = {{60000, 1}, {1, 60000}, {0, 0}};
  const JustifiedRows rows(odd, 300, 150, 8);
  for (const JustifiedRow& row : rows.rows()) EXPECT_GE(row.height, 1);
}

}  // namespace
}  // namespace linea::studio
