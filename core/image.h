// core/image.h: 8-bit RGB pictures, in memory and as PNG, JPEG and WebP files.
//
// Input is untrusted: sizes are bounded before memory is taken, and malformed data throws kBadFile with one line. Output bytes depend only
// on the arguments. Reading needs no more than the file and the picture in memory at once (twice where it is turned); any thread may call
// anything.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace linea {

constexpr int64_t kMaxImageSide = 65535;
constexpr int64_t kMaxImagePixels = int64_t{1} << 28;

struct Image {
  int64_t width = 0, height = 0;
  int channels = 3;             // always RGB
  std::vector<uint8_t> pixels;  // [height, width, 3], rows from the top

  bool operator==(const Image&) const = default;
};

using ImageText = std::vector<std::pair<std::string, std::string>>;  // keyword (1 to 79 ASCII characters), UTF-8 text

// A picture that is being read: its first `rows` rows are there, with 3 or 4 bytes a pixel.
struct ImageRows {
  int64_t width = 0, height = 0, rows = 0;
  int64_t channels = 3;
  const uint8_t* pixels = nullptr;
};

struct ImageReadOptions {
  std::array<uint8_t, 3> background = {255, 255, 255};  // shows through transparent pixels
  std::function<void(const ImageRows&)> on_rows{};      // called now and then while an upright PNG that is not interlaced is read
};

struct ImageWriteOptions {
  ImageText text = {};        // PNG only
  int png_level = 1;          // zlib's, 0 to 9
  int jpeg_quality = 95;      // 1 to 100; 90 and above keep the full colour resolution
  bool webp_lossless = true;  // else with webp_quality
  int webp_quality = 90;      // 0 to 100
};

enum class ImageFormat { kPng, kJpeg, kWebp };

// By the extension (.png, .jpg, .jpeg, .webp in any case). Throws kUsage.
ImageFormat image_format_of(const std::filesystem::path& path);
// By the first bytes of a file. Throws kBadFile.
ImageFormat image_format_of_content(const std::filesystem::path& path);

// The format is told by the first bytes, not by the name. Palettes and greys become RGB, 16 bits become 8, transparency is laid over the
// background, and what EXIF says is turned or mirrored comes upright. Throws kBadFile.
Image read_image(const std::filesystem::path& path, const ImageReadOptions& options = {});
Image decode_image(std::span<const uint8_t> bytes, const std::string& source_name, const ImageReadOptions& options = {});

// The text chunks of a PNG (tEXt, zTXt, iTXt) in file order, without decoding its pixels. Throws kBadFile.
ImageText read_png_text(const std::filesystem::path& path);
ImageText decode_png_text(std::span<const uint8_t> bytes, const std::string& source_name);

// Written to a temporary name in the same folder, synced and renamed. Throws kUsage (name, folder, size beyond the format) and kIo.
void write_image(const std::filesystem::path& path, const Image& image, const ImageWriteOptions& options = {});

// Text that is Latin-1 goes into tEXt chunks, other text into iTXt; what is no UTF-8 and NUL become U+FFFD.
std::vector<uint8_t> encode_png(const Image& image, const ImageText& text = {}, int level = 1);
std::vector<uint8_t> encode_jpeg(const Image& image, int quality = 95);
std::vector<uint8_t> encode_webp(const Image& image, bool lossless = true, int quality = 90);

// Peak signal-to-noise ratio in dB; infinite for equal pictures. Throws kUsage when sizes differ.
double psnr(const Image& a, const Image& b);

}  // namespace linea
