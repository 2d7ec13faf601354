#include "app/studio/palette.h"

#include <gtest/gtest.h>

namespace linea::studio {
namespace {

TEST(Palette, ContrastIsThatOfWcag) {
  EXPECT_NEAR(contrast(0x000000, 0xFFFFFF), 21, 1e-9);
  EXPECT_NEAR(contrast(0x777777, 0xFFFFFF), 4.48, 0.005);  // the standard's own example of just too little
  EXPECT_DOUBLE_EQ(contrast(0x123456, 0x123456), 1);
}

void expect_readable(const Palette& p, const char* name) {
  const uint32_t grounds[] = {p.window, p.panel, p.raised, p.hover, p.tinted};
  const uint32_t texts[] = {p.text, p.quiet};
  for (const uint32_t ground : grounds) {
    for (const uint32_t text : texts) EXPECT_GE(contrast(text, ground), 4.5) << name << std::hex << " " << text << " on " << ground;
  }
  for (const uint32_t ground : {p.window, p.panel, p.raised}) {
    for (const uint32_t text : {p.accent, p.good, p.warning, p.bad})
      EXPECT_GE(contrast(text, ground), 4.5) << name << std::hex << " " << text << " on " << ground;
  }
  EXPECT_GE(contrast(p.on_accent, p.accent), 4.5) << name;
  EXPECT_GE(contrast(p.on_accent, p.accent_hover), 4.5) << name;
  EXPECT_GE(contrast(p.text, p.selection), 4.5) << name;
  EXPECT_GE(contrast(p.quiet, p.surround), 4.5) << name;
}

TEST(Palette, TextIsReadableInBothThemes) {
  expect_readable(dark_palette(), "dark");
  expect_readable(light_palette(), "light");
}

}  // namespace
}  // namespace linea::studio
