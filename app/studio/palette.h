// app/studio/palette.h: the colours of the two themes, and how readable they are on each other.
//
// A colour is 0xRRGGBB. Text colours reach a contrast of 4.5:1 on every ground that they stand on (tests/studio/palette_test.cpp).
#pragma once

#include <cstdint>

namespace linea::studio {

struct Palette {
  uint32_t window, panel, raised, hover, line;  // grounds, from the back to the front, and the lines between them
  uint32_t text, quiet;
  uint32_t accent, accent_hover, on_accent;  // the primary button, what is selected, links; text on the accent
  uint32_t good, warning, bad;
  uint32_t selection;  // behind selected text
  uint32_t tinted;     // behind the user's own messages
  uint32_t surround;   // around a picture
};

const Palette& dark_palette();
const Palette& light_palette();

// WCAG 2: (L1 + 0.05) / (L2 + 0.05) of relative luminances, 1 to 21.
double contrast(uint32_t a, uint32_t b);

}  // namespace linea::studio
