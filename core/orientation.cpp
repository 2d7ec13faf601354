#include "core/orientation.h"

#include <algorithm>
#include <optional>

#include "core/image_codecs.h"

namespace linea::codec {
namespace {

constexpr std::string_view kExifMark = std::string_view("Exif\0\0", 6);

// The part of `bytes` from `offset` on, of at most `size` bytes; empty beyond the end.
Bytes part(Bytes bytes, uint64_t offset, uint64_t size) {
  if (offset >= bytes.size()) return {};
  return bytes.subspan(static_cast<size_t>(offset), static_cast<size_t>(std::min<uint64_t>(size, bytes.size() - offset)));
}

// Unsigned numbers of two and four bytes; none beyond the end.
struct Numbers {
  Bytes bytes;
  bool little;

  std::optional<uint32_t> at(uint64_t offset, int size) const {
    const Bytes digits = part(bytes, offset, static_cast<uint64_t>(size));
    if (digits.size() < static_cast<size_t>(size)) return std::nullopt;
    uint32_t value = 0;
    for (int i = 0; i < size; ++i) value = value << 8 | digits[static_cast<size_t>(little ? size - 1 - i : i)];
    return value;
  }
};

// The EXIF segment of a JPEG, before its first scan.
Bytes exif_of_jpeg(Bytes file) {
  const Numbers numbers{file, false};
  for (uint64_t at = 2; numbers.at(at, 1) == 0xffu;) {
    const uint32_t marker = numbers.at(at + 1, 1).value_or(0xda), length = numbers.at(at + 2, 2).value_or(0);
    constexpr uint32_t kFill = 0xff, kScan = 0xda, kApp1 = 0xe1;
    if (marker == kFill) {
      ++at;
      continue;
    }
    if (marker == kScan || length < 2) return {};
    const Bytes content = part(file, at + 4, length - 2);
    if (marker == kApp1 && starts_with(content, 0, kExifMark)) return content.subspan(kExifMark.size());
    at += 2 + length;
  }
  return {};
}

Bytes exif_of_png(Bytes file) {
  const Numbers numbers{file, false};
  uint64_t at = 8;
  while (const auto length = numbers.at(at, 4)) {
    const Bytes chunk = part(file, at + 4, uint64_t{*length} + 4);
    if (starts_with(chunk, 0, "eXIf")) return chunk.subspan(4);
    if (starts_with(chunk, 0, "IEND")) break;
    at += 12 + uint64_t{*length};
  }
  return {};
}

Bytes exif_of_webp(Bytes file) {
  const Numbers numbers{file, true};
  uint64_t at = 12;
  while (const auto length = numbers.at(at + 4, 4)) {
    if (starts_with(part(file, at, 4), 0, "EXIF")) {
      const Bytes content = part(file, at + 8, *length);
      return starts_with(content, 0, kExifMark) ? content.subspan(kExifMark.size()) : content;
    }
    at += 8 + uint64_t{*length} + *length % 2;
  }
  return {};
}

// The tag in the first directory of a TIFF.
int orientation_in(Bytes tiff) {
  const bool little = starts_with(tiff, 0, std::string_view("II*\0", 4));
  if (!little && !starts_with(tiff, 0, std::string_view("MM\0*", 4))) return 1;
  const Numbers numbers{tiff, little};
  const uint64_t directory = numbers.at(4, 4).value_or(0);
  const uint32_t entries = numbers.at(directory, 2).value_or(0);
  for (uint32_t i = 0; i < entries; ++i) {
    constexpr uint32_t kOrientation = 274, kShort = 3;
    const uint64_t entry = directory + 2 + uint64_t{12} * i;
    if (numbers.at(entry, 2) != kOrientation) continue;
    const uint32_t value = numbers.at(entry + 8, 2).value_or(1);
    return numbers.at(entry + 2, 2) == kShort && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace

int orientation_of(Bytes file, ImageFormat format) {
  switch (format) {
    case ImageFormat::kPng: return orientation_in(exif_of_png(file));
    case ImageFormat::kJpeg: return orientation_in(exif_of_jpeg(file));
    case ImageFormat::kWebp: break;
  }
  return orientation_in(exif_of_webp(file));
}

Image upright(Image image, int orientation) {
  if (orientation == 1) return image;
  const bool turns = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image result{.width = turns ? image.height : image.width, .height = turns ? image.width : image.height, .channels = 3, .pixels = {}};
  result.pixels.resize(image.pixels.size());
  uint8_t* to = result.pixels.data();
  for (int64_t y = 0; y < result.height; ++y) {
    for (int64_t x = 0; x < result.width; ++x, to += 3) {
      const int64_t column = turns ? y : x, row = turns ? x : y;
      const int64_t from_x = from_right ? image.width - 1 - column : column, from_y = from_bottom ? image.height - 1 - row : row;
      std::copy_n(image.pixels.data() + (from_y * image.width + from_x) * 3, 3, to);
    }
  }
  return result;
}

}  // namespace linea::codec
