// core/image_codecs.h: what the three formats' files share. Private to core/image.cpp and the codecs.
#pragma once

#include <string>
#include <string_view>

#include "core/image.h"

namespace linea::codec {

using Bytes = std::span<const uint8_t>;

inline constexpr std::array<uint8_t, 8> kPngSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

[[noreturn]] void fail(const std::string& source, const std::string& what);  // kBadFile
void check_size(const std::string& source, int64_t width, int64_t height);   // throws kBadFile beyond kMaxImageSide, kMaxImagePixels

bool starts_with(Bytes bytes, size_t offset, std::string_view signature);

// One row of RGBA laid over the background as RGB.
void composite_row(const uint8_t* rgba, uint8_t* rgb, int64_t width, const std::array<uint8_t, 3>& background);

Image decode_png(Bytes bytes, const std::string& source, const ImageReadOptions& options);
Image decode_jpeg(Bytes bytes, const std::string& source);
Image decode_webp(Bytes bytes, const std::string& source, const ImageReadOptions& options);

}  // namespace linea::codec
