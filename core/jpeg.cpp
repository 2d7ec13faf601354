// JPEG through libjpeg-turbo. As in png_read.cpp, functions that a longjmp leaves hold plain variables only.
#include <cstdio>  // jpeglib.h needs it first
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include <csetjmp>
#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "core/image_codecs.h"
#include "core/text.h"

namespace linea {
namespace codec {
namespace {

struct ErrorManager {
  jpeg_error_mgr base;  // first, so that libjpeg's pointer to it is a pointer to us
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

void on_error(j_common_ptr info) {
  ErrorManager* errors = reinterpret_cast<ErrorManager*>(info->err);
  info->err->format_message(info, errors->message);
  std::longjmp(errors->jump, 1);
}

// Missing data is an error, since the rest of the picture would be grey; other oddities are common in good files.
void on_message(j_common_ptr info, int level) {
  if (level < 0 && (info->err->msg_code == JWRN_JPEG_EOF || info->err->msg_code == JWRN_HIT_MARKER)) on_error(info);
}

// A progressive file may repeat scans to make a decoder work for hours.
void on_progress(j_common_ptr info) {
  constexpr int kMaxScans = 500;
  if (info->is_decompressor && reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMaxScans) {
    ErrorManager* errors = reinterpret_cast<ErrorManager*>(info->err);
    std::snprintf(errors->message, sizeof errors->message, "more than %d scans", kMaxScans);
    std::longjmp(errors->jump, 1);
  }
}

void prepare(ErrorManager* errors, jpeg_progress_mgr* progress) {
  std::memset(errors, 0, sizeof *errors);
  jpeg_std_error(&errors->base);
  errors->base.error_exit = on_error;
  errors->base.emit_message = on_message;
  std::memset(progress, 0, sizeof *progress);
  progress->progress_monitor = on_progress;
}

struct Decoder {
  jpeg_decompress_struct info;
  ErrorManager errors;
  jpeg_progress_mgr progress;

  Decoder() {
    prepare(&errors, &progress);
    std::memset(&info, 0, sizeof info);
    info.err = &errors.base;
  }
  ~Decoder() { jpeg_destroy_decompress(&info); }  // harmless when never created
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
};

bool start(Decoder* decoder, const uint8_t* data, size_t size) {
  if (setjmp(decoder->errors.jump)) return false;
  jpeg_create_decompress(&decoder->info);
  decoder->info.progress = &decoder->progress;
  jpeg_mem_src(&decoder->info, data, size);
  jpeg_read_header(&decoder->info, TRUE);
  const bool four_inks = decoder->info.num_components == 4;  // libjpeg cannot turn CMYK into RGB
  decoder->info.out_color_space = four_inks ? JCS_CMYK : JCS_RGB;
  return true;
}

bool start_pixels(Decoder* decoder) {
  if (setjmp(decoder->errors.jump)) return false;
  jpeg_start_decompress(&decoder->info);
  return true;
}

bool read_row(Decoder* decoder, uint8_t* row) {
  if (setjmp(decoder->errors.jump)) return false;
  jpeg_read_scanlines(&decoder->info, &row, 1);
  return true;
}

void cmyk_to_rgb(const uint8_t* cmyk, uint8_t* rgb, int64_t width, bool inverted) {
  for (int64_t x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    const int key = inverted ? cmyk[3] : 255 - cmyk[3];
    for (int c = 0; c < 3; ++c) {
      const int ink = inverted ? cmyk[c] : 255 - cmyk[c];
      rgb[c] = static_cast<uint8_t>((ink * key + 127) / 255);
    }
  }
}

}  // namespace

Image decode_jpeg(Bytes bytes, const std::string& source) {
  Decoder decoder;
  const auto fail_with_message = [&] { fail(source, std::string("damaged JPEG: ") + printable(decoder.errors.message)); };
  if (!start(&decoder, bytes.data(), bytes.size())) fail_with_message();
  const int64_t width = decoder.info.image_width, height = decoder.info.image_height;
  check_size(source, width, height);
  if (!start_pixels(&decoder)) fail_with_message();

  const bool four_inks = decoder.info.out_color_space == JCS_CMYK;
  std::vector<uint8_t> inks(four_inks ? static_cast<size_t>(width * 4) : 0);
  std::vector<uint8_t> pixels;  // grows with the rows that are really there
  for (int64_t y = 0; y < height; ++y) {
    pixels.resize(static_cast<size_t>((y + 1) * width * 3));
    uint8_t* row = pixels.data() + y * width * 3;
    if (!read_row(&decoder, four_inks ? inks.data() : row)) fail_with_message();
    if (four_inks) cmyk_to_rgb(inks.data(), row, width, decoder.info.saw_Adobe_marker);
  }
  return {.width = width, .height = height, .channels = 3, .pixels = std::move(pixels)};
}

namespace {

struct Encoder {
  jpeg_compress_struct info;
  ErrorManager errors;
  jpeg_progress_mgr progress;
  unsigned char* buffer = nullptr;  // libjpeg's, grown by it
  unsigned long size = 0;

  Encoder() {
    prepare(&errors, &progress);
    std::memset(&info, 0, sizeof info);
    info.err = &errors.base;
  }
  ~Encoder() {
    jpeg_destroy_compress(&info);
    std::free(buffer);
  }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
};

bool encode(Encoder* encoder, const Image& image, int quality) {
  if (setjmp(encoder->errors.jump)) return false;
  jpeg_compress_struct* info = &encoder->info;
  jpeg_create_compress(info);
  jpeg_mem_dest(info, &encoder->buffer, &encoder->size);
  info->image_width = static_cast<JDIMENSION>(image.width);
  info->image_height = static_cast<JDIMENSION>(image.height);
  info->input_components = 3;
  info->in_color_space = JCS_RGB;
  jpeg_set_defaults(info);
  jpeg_set_quality(info, quality, TRUE);
  info->optimize_coding = TRUE;
  if (quality >= 90) info->comp_info[0].h_samp_factor = info->comp_info[0].v_samp_factor = 1;
  jpeg_start_compress(info, TRUE);
  while (info->next_scanline < info->image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(image.pixels.data() + static_cast<int64_t>(info->next_scanline) * image.width * 3);
    jpeg_write_scanlines(info, &row, 1);
  }
  jpeg_finish_compress(info);
  return true;
}

}  // namespace
}  // namespace codec

std::vector<uint8_t> encode_jpeg(const Image& image, int quality) {
  LINEA_ASSERT(image.channels == 3 && static_cast<int64_t>(image.pixels.size()) == image.width * image.height * 3);
  if (quality < 1 || quality > 100) throw Error(ErrorKind::kUsage, "JPEG quality " + std::to_string(quality) + " is not between 1 and 100");
  if (image.width < 1 || image.height < 1 || image.width > JPEG_MAX_DIMENSION || image.height > JPEG_MAX_DIMENSION) {
    throw Error(ErrorKind::kUsage, "a JPEG cannot be " + std::to_string(image.width) + "×" + std::to_string(image.height) + ", at most " +
                                       std::to_string(JPEG_MAX_DIMENSION) + " a side");
  }
  codec::Encoder encoder;
  if (!codec::encode(&encoder, image, quality)) {
    throw Error(ErrorKind::kMemory, std::string("JPEG encoder: ") + printable(encoder.errors.message));
  }
  return {encoder.buffer, encoder.buffer + encoder.size};
}

}  // namespace linea
