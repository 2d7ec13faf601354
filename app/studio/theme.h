// app/studio/theme.h: ImGui's own style in the studio's colours and sizes: what is left of it are scroll bars, popups and tooltips.
#pragma once

#include "app/studio/palette.h"

namespace linea::studio {

void apply_theme(const Palette& palette, float scale);

}  // namespace linea::studio
