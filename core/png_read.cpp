// PNG pixels through libpng.
//
// libpng leaves by longjmp, which skips destructors. Everything with a destructor therefore lives in decode_png, outside the two functions
// that set the jump; those hold plain variables only.
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "core/image_codecs.h"
#include "core/text.h"

namespace linea::codec {
namespace {

struct Reader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  Bytes rest;  // not yet consumed
  char message[128] = "";
  bool has_alpha = false, interlaced = false;
  int64_t width = 0, height = 0;
  int bits_per_pixel = 0;  // as stored

  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

void on_error(png_structp png, png_const_charp message) {
  Reader* reader = static_cast<Reader*>(png_get_error_ptr(png));
  std::snprintf(reader->message, sizeof reader->message, "%s", message);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, size_t count) {
  Reader* reader = static_cast<Reader*>(png_get_io_ptr(png));
  if (count > reader->rest.size()) png_error(png, "the file is cut short");
  std::memcpy(out, reader->rest.data(), count);
  reader->rest = reader->rest.subspan(count);
}

bool read_header(Reader* reader) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  png_read_info(reader->png, reader->info);
  reader->width = png_get_image_width(reader->png, reader->info);
  reader->height = png_get_image_height(reader->png, reader->info);
  reader->bits_per_pixel = png_get_bit_depth(reader->png, reader->info) * png_get_channels(reader->png, reader->info);
  png_set_expand(reader->png);  // palettes, small greys and tRNS to 8 bits a channel
  png_set_scale_16(reader->png);
  png_set_gray_to_rgb(reader->png);
  reader->interlaced = png_set_interlace_handling(reader->png) > 1;
  png_read_update_info(reader->png, reader->info);
  reader->has_alpha = png_get_channels(reader->png, reader->info) == 4;
  return true;
}

bool read_pixels(Reader* reader, png_bytepp rows) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  png_read_image(reader->png, rows);
  png_read_end(reader->png, nullptr);
  return true;
}

bool read_rows(Reader* reader, png_bytepp rows, int64_t from, int64_t to) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  png_read_rows(reader->png, rows + from, nullptr, static_cast<png_uint_32>(to - from));
  if (to == reader->height) png_read_end(reader->png, nullptr);
  return true;
}

// In bands, which `on_rows` hears of.
bool read_bands(Reader* reader, png_bytepp rows, const ImageReadOptions& options) {
  constexpr int64_t kBand = 64;
  const int64_t channels = reader->has_alpha ? 4 : 3;
  for (int64_t done = 0; done < reader->height;) {
    const int64_t next = std::min(done + kBand, reader->height);
    if (!read_rows(reader, rows, done, next)) return false;
    done = next;
    options.on_rows({.width = reader->width, .height = reader->height, .rows = done, .channels = channels, .pixels = rows[0]});
  }
  return true;
}

}  // namespace

Image decode_png(Bytes bytes, const std::string& source, const ImageReadOptions& options) {
  Reader reader;
  reader.rest = bytes;
  const auto fail_with_message = [&] { fail(source, std::string("damaged PNG: ") + printable(reader.message)); };
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
  reader.info = reader.png ? png_create_info_struct(reader.png) : nullptr;
  if (!reader.info) fail(source, "libpng could not start");
  png_set_read_fn(reader.png, &reader, on_read);
  png_set_user_limits(reader.png, kMaxImageSide, kMaxImageSide);
  // Every chunk that pixels do not need: texts and profiles may be compressed, and libpng would unpack them all.
  png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);

  if (!read_header(&reader)) fail_with_message();
  check_size(source, reader.width, reader.height);
  // Deflate shrinks at most 1032-fold: a small file that promises a large picture is refused before its memory is taken.
  constexpr int64_t kMaxRatio = 1032;
  const int64_t stored = reader.width * reader.height / 8 * reader.bits_per_pixel;
  if (stored / kMaxRatio > static_cast<int64_t>(bytes.size())) fail(source, "damaged PNG: the file is cut short");

  const int64_t channels = reader.has_alpha ? 4 : 3;
  std::vector<uint8_t> pixels(static_cast<size_t>(reader.width * reader.height * channels));
  std::vector<png_bytep> rows(static_cast<size_t>(reader.height));
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = pixels.data() + static_cast<int64_t>(y) * reader.width * channels;
  const bool in_bands = options.on_rows && !reader.interlaced;
  if (!(in_bands ? read_bands(&reader, rows.data(), options) : read_pixels(&reader, rows.data()))) fail_with_message();

  if (reader.has_alpha) {  // in place: an RGB row never overtakes the RGBA row it comes from
    for (int64_t y = 0; y < reader.height; ++y) {
      composite_row(pixels.data() + y * reader.width * 4, pixels.data() + y * reader.width * 3, reader.width, options.background);
    }
    pixels.resize(static_cast<size_t>(reader.width * reader.height * 3));
  }
  return {.width = reader.width, .height = reader.height, .channels = 3, .pixels = std::move(pixels)};
}

}  // namespace linea::codec
