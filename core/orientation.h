// core/orientation.h: how a picture's rows lie in its file, as cameras note it, and turning them upright. Private to core/image.cpp.
#pragma once

#include "core/image.h"

namespace linea::codec {

// EXIF's orientation (TIFF 6.0, tag 274): 1 = upright, 2 = mirrored, 3 = upside down, 4 = both, 5 to 8 = the same with rows for columns.
// 1 where the file says nothing, or nothing that can be read: pixels are as good without it.
int orientation_of(std::span<const uint8_t> file, ImageFormat format);

Image upright(Image image, int orientation);

}  // namespace linea::codec
