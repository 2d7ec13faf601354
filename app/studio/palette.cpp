#include "app/studio/palette.h"

#include <algorithm>
#include <cmath>

namespace linea::studio {
namespace {

constexpr Palette kDark = {
    .window = 0x101216,
    .panel = 0x171A20,
    .raised = 0x1F232B,
    .hover = 0x282D37,
    .line = 0x2A2F39,
    .text = 0xE7EAF0,
    .quiet = 0x9AA3B3,
    .accent = 0x6C8CFF,
    .accent_hover = 0x86A1FF,
    .on_accent = 0x0B0E16,
    .good = 0x43B88C,
    .warning = 0xE0A63F,
    .bad = 0xF0766E,
    .selection = 0x33457F,
    .tinted = 0x202A44,
    .surround = 0x08090B,
};

constexpr Palette kLight = {
    .window = 0xF4F5F7,
    .panel = 0xFFFFFF,
    .raised = 0xFFFFFF,
    .hover = 0xECEEF2,
    .line = 0xD9DDE3,
    .text = 0x1B1F27,
    .quiet = 0x565F6E,
    .accent = 0x3D63E0,
    .accent_hover = 0x2F52C4,
    .on_accent = 0xFFFFFF,
    .good = 0x17744F,
    .warning = 0x8A5A08,
    .bad = 0xB8332B,
    .selection = 0xC5D2FA,
    .tinted = 0xE6ECFD,
    .surround = 0xE3E5EA,
};

double linear(uint32_t channel) {
  const double c = channel / 255.0;
  return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
}

double luminance(uint32_t color) {
  return 0.2126 * linear(color >> 16 & 255) + 0.7152 * linear(color >> 8 & 255) + 0.0722 * linear(color & 255);
}

}  // namespace

const Palette& dark_palette() { return kDark; }
const Palette& light_palette() { return kLight; }

double contrast(uint32_t a, uint32_t b) {
  const double la = luminance(a), lb = luminance(b);
  return (std::max(la, lb) + 0.05) / (std::min(la, lb) + 0.05);
}

}  // namespace linea::studio
