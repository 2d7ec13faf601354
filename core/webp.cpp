// WebP through libwebp.
#include <webp/decode.h>
#include <webp/encode.h>

#include <memory>

#include "core/error.h"
#include "core/image_codecs.h"

namespace linea {
namespace codec {

Image decode_webp(Bytes bytes, const std::string& source, const ImageReadOptions& options) {
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) fail(source, "libwebp could not start");
  if (WebPGetFeatures(bytes.data(), bytes.size(), &config.input) != VP8_STATUS_OK) fail(source, "damaged WebP: unreadable header");
  if (config.input.has_animation) fail(source, "is an animated WebP, expected a still picture");
  const int64_t width = config.input.width, height = config.input.height;
  check_size(source, width, height);
  const bool has_alpha = config.input.has_alpha;
  const int64_t channels = has_alpha ? 4 : 3;
  config.output.colorspace = has_alpha ? MODE_RGBA : MODE_RGB;
  // libwebp's own buffer: untouched pages of it cost nothing when a damaged header promised a large picture.
  const VP8StatusCode status = WebPDecode(bytes.data(), bytes.size(), &config);
  const std::unique_ptr<WebPDecBuffer, void (*)(WebPDecBuffer*)> buffer(&config.output, WebPFreeDecBuffer);
  if (status == VP8_STATUS_OUT_OF_MEMORY) fail(source, "not enough memory for its " + std::to_string(width * height) + " pixels");
  if (status != VP8_STATUS_OK) {
    fail(source, status == VP8_STATUS_NOT_ENOUGH_DATA ? "damaged WebP: the file is cut short" : "damaged WebP: unreadable data");
  }
  Image image{.width = width, .height = height, .channels = 3, .pixels = {}};
  image.pixels.reserve(static_cast<size_t>(width * height * 3));
  if (!has_alpha) {
    for (int64_t y = 0; y < height; ++y) {
      const uint8_t* row = config.output.u.RGBA.rgba + y * config.output.u.RGBA.stride;
      image.pixels.insert(image.pixels.end(), row, row + width * channels);
    }
    return image;
  }
  image.pixels.resize(static_cast<size_t>(width * height * 3));
  for (int64_t y = 0; y < height; ++y) {
    const uint8_t* row = config.output.u.RGBA.rgba + y * config.output.u.RGBA.stride;
    composite_row(row, image.pixels.data() + y * width * 3, width, options.background);
  }
  return image;
}

}  // namespace codec

std::vector<uint8_t> encode_webp(const Image& image, bool lossless, int quality) {
  LINEA_ASSERT(image.channels == 3 && static_cast<int64_t>(image.pixels.size()) == image.width * image.height * 3);
  if (quality < 0 || quality > 100) throw Error(ErrorKind::kUsage, "WebP quality " + std::to_string(quality) + " is not between 0 and 100");
  if (image.width < 1 || image.height < 1 || image.width > WEBP_MAX_DIMENSION || image.height > WEBP_MAX_DIMENSION) {
    throw Error(ErrorKind::kUsage, "a WebP cannot be " + std::to_string(image.width) + "×" + std::to_string(image.height) + ", at most " +
                                       std::to_string(WEBP_MAX_DIMENSION) + " a side");
  }
  WebPConfig config;
  WebPPicture picture;
  WebPMemoryWriter writer;
  WebPMemoryWriterInit(&writer);
  const std::unique_ptr<WebPMemoryWriter, void (*)(WebPMemoryWriter*)> writer_owner(&writer, WebPMemoryWriterClear);
  if (!WebPConfigInit(&config) || !WebPPictureInit(&picture)) throw Error(ErrorKind::kInternal, "libwebp could not start");
  const std::unique_ptr<WebPPicture, void (*)(WebPPicture*)> picture_owner(&picture, WebPPictureFree);
  constexpr int kFastLossless = 2;  // of 0 to 9: the others take several times longer for a few percent
  if (lossless) {
    WebPConfigLosslessPreset(&config, kFastLossless);
  } else {
    config.quality = static_cast<float>(quality);
  }
  picture.use_argb = lossless;
  picture.width = static_cast<int>(image.width);
  picture.height = static_cast<int>(image.height);
  picture.writer = WebPMemoryWrite;
  picture.custom_ptr = &writer;
  if (!WebPPictureImportRGB(&picture, image.pixels.data(), static_cast<int>(image.width * 3)) || !WebPEncode(&config, &picture)) {
    throw Error(ErrorKind::kMemory, "WebP encoder: failed with code " + std::to_string(picture.error_code));
  }
  return {writer.mem, writer.mem + writer.size};
}

}  // namespace linea
