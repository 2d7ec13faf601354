#include "core/image.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/image_codecs.h"
#include "core/mapped_file.h"
#include "core/orientation.h"
#include "core/text.h"

namespace linea {
namespace codec {

void fail(const std::string& source, const std::string& what) { throw Error(ErrorKind::kBadFile, printable(source, 4096) + ": " + what); }

void check_size(const std::string& source, int64_t width, int64_t height) {
  if (width >= 1 && height >= 1 && width <= kMaxImageSide && height <= kMaxImageSide && width * height <= kMaxImagePixels) return;
  fail(source, "its size " + std::to_string(width) + "×" + std::to_string(height) + " is not supported (at most " +
                   std::to_string(kMaxImageSide) + " a side and " + std::to_string(kMaxImagePixels >> 20) + " Mi pixels)");
}

bool starts_with(Bytes bytes, size_t offset, std::string_view signature) {
  return bytes.size() >= offset + signature.size() &&
         std::equal(signature.begin(), signature.end(), bytes.begin() + static_cast<ptrdiff_t>(offset),
                    [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

void composite_row(const uint8_t* rgba, uint8_t* rgb, int64_t width, const std::array<uint8_t, 3>& background) {
  for (int64_t x = 0; x < width; ++x, rgba += 4, rgb += 3) {
    const int alpha = rgba[3];
    for (size_t c = 0; c < 3; ++c) rgb[c] = static_cast<uint8_t>((rgba[c] * alpha + background[c] * (255 - alpha) + 127) / 255);
  }
}

namespace {

Bytes bytes_of(const MappedFile& file) { return {reinterpret_cast<const uint8_t*>(file.data()), static_cast<size_t>(file.size())}; }

}  // namespace
}  // namespace codec

ImageFormat image_format_of(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (extension == ".png") return ImageFormat::kPng;
  if (extension == ".jpg" || extension == ".jpeg") return ImageFormat::kJpeg;
  if (extension == ".webp") return ImageFormat::kWebp;
  throw Error(ErrorKind::kUsage, printable(path.string(), 4096) + ": unknown image format, expected .png, .jpg, .jpeg or .webp");
}

namespace codec {
namespace {

ImageFormat format_of(Bytes bytes, const std::string& source) {
  if (bytes.empty()) fail(source, "is empty, expected an image");
  if (starts_with(bytes, 0, "\x89PNG")) return ImageFormat::kPng;
  if (starts_with(bytes, 0, "\xff\xd8\xff")) return ImageFormat::kJpeg;
  if (starts_with(bytes, 0, "RIFF") && starts_with(bytes, 8, "WEBP")) return ImageFormat::kWebp;
  fail(source, "is not a PNG, JPEG or WebP image");
}

}  // namespace
}  // namespace codec

ImageFormat image_format_of_content(const std::filesystem::path& path) {
  const MappedFile file(path, ErrorKind::kBadFile);
  return codec::format_of(codec::bytes_of(file), path.string());
}

Image decode_image(std::span<const uint8_t> bytes, const std::string& source_name, const ImageReadOptions& options) {
  const ImageFormat format = codec::format_of(bytes, source_name);
  const int orientation = codec::orientation_of(bytes, format);
  ImageReadOptions own = options;
  if (orientation != 1) own.on_rows = nullptr;  // they are not the first rows of the picture
  const auto decoded = [&] {
    switch (format) {
      case ImageFormat::kPng: return codec::decode_png(bytes, source_name, own);
      case ImageFormat::kJpeg: return codec::decode_jpeg(bytes, source_name);
      case ImageFormat::kWebp: break;
    }
    return codec::decode_webp(bytes, source_name, own);
  };
  return codec::upright(decoded(), orientation);
}

Image read_image(const std::filesystem::path& path, const ImageReadOptions& options) {
  const MappedFile file(path, ErrorKind::kBadFile);
  return decode_image(codec::bytes_of(file), path.string(), options);
}

ImageText read_png_text(const std::filesystem::path& path) {
  const MappedFile file(path, ErrorKind::kBadFile);
  return decode_png_text(codec::bytes_of(file), path.string());
}

void write_image(const std::filesystem::path& path, const Image& image, const ImageWriteOptions& options) {
  const ImageFormat format = image_format_of(path);
  AtomicFile file(path);  // first: a name that cannot be written should not cost an encoding
  const std::vector<uint8_t> bytes = format == ImageFormat::kPng    ? encode_png(image, options.text, options.png_level)
                                     : format == ImageFormat::kJpeg ? encode_jpeg(image, options.jpeg_quality)
                                                                    : encode_webp(image, options.webp_lossless, options.webp_quality);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

double psnr(const Image& a, const Image& b) {
  if (a.width != b.width || a.height != b.height || a.channels != b.channels) {
    throw Error(ErrorKind::kUsage, "psnr: the pictures differ in size: " + std::to_string(a.width) + "×" + std::to_string(a.height) +
                                       " and " + std::to_string(b.width) + "×" + std::to_string(b.height));
  }
  LINEA_ASSERT(a.pixels.size() == b.pixels.size());
  uint64_t squares = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    const int difference = a.pixels[i] - b.pixels[i];
    squares += static_cast<uint64_t>(difference * difference);
  }
  if (squares == 0) return std::numeric_limits<double>::infinity();
  return 10.0 * std::log10(255.0 * 255.0 * static_cast<double>(a.pixels.size()) / static_cast<double>(squares));
}

}  // namespace linea
