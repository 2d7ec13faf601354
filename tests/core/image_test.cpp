#include "core/image.h"

#include <png.h>
#include <zlib.h>

#include <cmath>
#include <random>

#include "core/threads.h"
#include "tests/core/fixtures.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

using test::expect_error;
using test::TemporaryFolder;

// Smooth with some noise, as pictures are.
Image picture(int64_t width, int64_t height, uint32_t seed = 1) {
  Image image{.width = width, .height = height, .channels = 3, .pixels = {}};
  std::mt19937 random(seed);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const double wave = 127 + 90 * std::sin(static_cast<double>(x) / 17 + c) * std::cos(static_cast<double>(y) / 23 - c);
        image.pixels.push_back(static_cast<uint8_t>(wave + static_cast<double>(random() % 8)));
      }
    }
  }
  return image;
}

Image expected_picture(const test::Golden& golden, const std::string& name) {
  const Tensor pixels = golden[name];
  return {.width = pixels.dim(1),
          .height = pixels.dim(0),
          .channels = 3,
          .pixels = {pixels.data<uint8_t>(), pixels.data<uint8_t>() + pixels.elements()}};
}

TEST(ImageRead, LosslessFlavoursAreExact) {
  const test::Golden golden("images/expected.safetensors");
  for (const char* name : {"rgb.png", "rgba.png", "grey.png", "grey_alpha.png", "palette.png", "palette_1bit.png", "bilevel.png",
                           "palette_transparent.png", "grey16.png", "interlaced16.png", "lossless.webp", "alpha.webp"}) {
    const Image image = read_image(test::data_path(std::string("images/") + name));
    EXPECT_EQ(image.channels, 3);
    EXPECT_TRUE(image == expected_picture(golden, name)) << name;
  }
}

TEST(ImageRead, LossyFlavoursAreClose) {
  const test::Golden golden("images/expected.safetensors");
  for (const char* name : {"baseline.jpg", "subsampled.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg", "lossy.webp"}) {
    EXPECT_GE(psnr(read_image(test::data_path(std::string("images/") + name)), expected_picture(golden, name)), 45.0) << name;
  }
}

TEST(ImageRead, WhatACameraTurnedIsUpright) {
  const test::Golden golden("images/expected.safetensors");
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (const std::string format : {"jpg", "png", "webp"}) {
      const std::string name = "orientation_" + std::to_string(orientation) + "." + format;
      const Image image = read_image(test::data_path("images/" + name)), expected = expected_picture(golden, name);
      EXPECT_EQ(image.width, expected.width) << name;
      EXPECT_TRUE(format == "jpg" ? psnr(image, expected) >= 45 : image == expected) << name;
    }
  }
}

TEST(ImageRead, RowsOfAPictureThatIsTurnedAreNotShownBefore) {
  int calls = 0;
  const ImageReadOptions options = {.on_rows = [&](const ImageRows&) { ++calls; }};
  read_image(test::data_path("images/orientation_6.png"), options);
  EXPECT_EQ(calls, 0);
  read_image(test::data_path("images/orientation_1.png"), options);
  EXPECT_GT(calls, 0);
}

TEST(ImageRead, BackgroundShowsThrough) {
  const std::string name = test::data_path("images/rgba.png");  // its first pixel is transparent
  EXPECT_EQ(read_image(name).pixels[0], 255);
  const Image black = read_image(name, {.background = {10, 20, 30}});
  EXPECT_EQ(black.pixels[0], 10);
  EXPECT_EQ(black.pixels[1], 20);
  EXPECT_EQ(black.pixels[2], 30);
}

TEST(ImageRead, GoesByContentNotByName) {
  const TemporaryFolder folder;
  std::filesystem::copy(test::data_path("images/baseline.jpg"), folder / "a.png");
  EXPECT_EQ(read_image(folder / "a.png").width, 37);
}

TEST(ImageRead, RefusesWhatIsNoPicture) {
  const TemporaryFolder folder;
  const auto expect_refused = [&](const std::string& content, const std::string& message) {
    test::write_bytes(folder / "a.png", content);
    expect_error(ErrorKind::kBadFile, message, [&] { read_image(folder / "a.png"); });
    expect_error(ErrorKind::kBadFile, "a.png: ", [&] { read_image(folder / "a.png"); });
  };
  expect_refused("", "is empty, expected an image");
  expect_refused("GIF89a", "is not a PNG, JPEG or WebP image");
  expect_refused("\x89PNG\r\n\x1a\n", "damaged PNG: the file is cut short");
  expect_refused("\xff\xd8\xff\xe0", "damaged JPEG: ");
  expect_refused("RIFF1234WEBP", "damaged WebP: ");
  expect_error(ErrorKind::kBadFile, "is a folder", [&] { read_image(folder.path()); });
  expect_error(ErrorKind::kBadFile, "cannot open", [&] { read_image(folder / "absent.png"); });
  expect_error(ErrorKind::kBadFile, "is an animated WebP", [] { read_image(test::data_path("images/animated.webp")); });
}

TEST(ImageRead, EveryTruncationIsRefused) {
  for (const char* name :
       {"rgb.png", "palette.png", "interlaced16.png", "baseline.jpg", "progressive.jpg", "lossless.webp", "lossy.webp"}) {
    const std::string whole = test::read_bytes(test::data_path(std::string("images/") + name));
    const size_t spare = std::string(name).ends_with(".jpg") ? 2 : 0;  // a JPEG may lack its end marker
    for (size_t size = 0; size < whole.size() - spare; ++size) {
      const auto bytes = test::as_bytes(whole.substr(0, size));
      EXPECT_TRUE(test::error_of([&] { decode_image(bytes, name); })) << name << " " << size;
    }
  }
}

TEST(ImageRead, RefusesLargePromisesOfSmallFiles) {
  std::string png = test::read_bytes(test::data_path("images/rgb.png"));
  const auto with_size = [&](const std::string& width_height) {
    std::string file = png;
    file.replace(16, 8, width_height);
    const uint32_t crc = static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(file.data()) + 12, 17));
    for (size_t i = 0; i < 4; ++i) file[29 + i] = static_cast<char>(crc >> (24 - 8 * i));
    return test::as_bytes(file);
  };
  const std::string k16384("\0\0\x40\0", 4), k65535("\0\0\xff\xff", 4), k65536("\0\1\0\0", 4);
  expect_error(ErrorKind::kBadFile, "cut short", [&] { decode_image(with_size(k16384 + k16384), "x"); });
  expect_error(ErrorKind::kBadFile, "its size 65535×65535 is not supported", [&] { decode_image(with_size(k65535 + k65535), "x"); });
  expect_error(ErrorKind::kBadFile, "damaged PNG", [&] { decode_image(with_size(k65536 + k16384), "x"); });
}

class ImageWrite : public testing::TestWithParam<std::pair<int64_t, int64_t>> {};

TEST_P(ImageWrite, PngAndLosslessWebpRoundTrip) {
  const Image image = picture(GetParam().first, GetParam().second);
  for (const int level : {0, 1, 6, 9}) EXPECT_TRUE(decode_image(encode_png(image, {}, level), "x") == image) << level;
  if (std::max(image.width, image.height) > 16383) return;
  EXPECT_TRUE(decode_image(encode_webp(image), "x") == image);
}

TEST_P(ImageWrite, LossyFormatsStayClose) {
  const Image image = picture(GetParam().first, GetParam().second);
  if (std::max(image.width, image.height) > 16383) return;
  EXPECT_GE(psnr(decode_image(encode_jpeg(image, 95), "x"), image), 35.0);
  EXPECT_GE(psnr(decode_image(encode_jpeg(image, 80), "x"), image), 28.0);
  EXPECT_GE(psnr(decode_image(encode_webp(image, false, 90), "x"), image), 28.0);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ImageWrite,
                         testing::Values(std::pair(1, 1), std::pair(1, 700), std::pair(700, 1), std::pair(37, 23), std::pair(512, 300),
                                         std::pair(65535, 2), std::pair(3, 20000)));

TEST(ImageWrite, LibpngReadsOurBlocks) {
  const Image image = picture(700, 500);  // several deflate blocks
  const std::vector<uint8_t> png = encode_png(image, {{"parameters", "x"}});
  png_image reader{};
  reader.version = PNG_IMAGE_VERSION;
  ASSERT_TRUE(png_image_begin_read_from_memory(&reader, png.data(), png.size()));
  reader.format = PNG_FORMAT_RGB;
  std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(reader));
  ASSERT_TRUE(png_image_finish_read(&reader, nullptr, pixels.data(), 0, nullptr)) << reader.message;
  EXPECT_EQ(reader.warning_or_error, 0u) << reader.message;
  EXPECT_EQ(pixels, image.pixels);
}

TEST(ImageWrite, ExtremesOfContent) {
  Image flat{.width = 600, .height = 400, .channels = 3, .pixels = std::vector<uint8_t>(600 * 400 * 3, 200)};
  EXPECT_TRUE(decode_image(encode_png(flat), "x") == flat);
  EXPECT_LT(encode_png(flat).size(), 10'000u);
  std::mt19937 random(3);
  for (uint8_t& value : flat.pixels) value = static_cast<uint8_t>(random());
  EXPECT_TRUE(decode_image(encode_png(flat), "x") == flat);
}

TEST(ImageWrite, BytesDoNotDependOnThreads) {
  const int before = thread_count();
  const Image image = picture(512, 700);
  set_thread_count(1);
  const std::vector<uint8_t> png = encode_png(image), webp = encode_webp(image), jpeg = encode_jpeg(image);
  set_thread_count(4);
  EXPECT_EQ(encode_png(image), png);
  EXPECT_EQ(encode_webp(image), webp);
  EXPECT_EQ(encode_jpeg(image), jpeg);
  set_thread_count(before);
}

TEST(ImageWrite, FormatFollowsTheExtension) {
  const TemporaryFolder folder;
  const Image image = picture(40, 30);
  for (const char* name : {"a.png", "b.PNG", "c.jpg", "d.JPEG", "e.webp"})
    write_image(folder / name, image, {.text = {{"parameters", "é 水"}}});
  EXPECT_EQ(folder.entries(), 5);
  EXPECT_TRUE(read_image(folder / "a.png") == image);
  EXPECT_TRUE(read_image(folder / "e.webp") == image);
  EXPECT_EQ(read_png_text(folder / "b.PNG"), (ImageText{{"parameters", "é 水"}}));
  EXPECT_EQ(image_format_of("x/y.z.jpeg"), ImageFormat::kJpeg);
  for (const char* name : {"a", "a.gif", "png", ".png", "a.png/"}) {
    expect_error(ErrorKind::kUsage, "unknown image format", [&] { image_format_of(name); });
  }
}

TEST(ImageWrite, FailuresLeaveNothingBehind) {
  const TemporaryFolder folder;
  const Image image = picture(8, 8);
  std::filesystem::create_directory(folder / "folder.png");
  expect_error(ErrorKind::kUsage, "is a folder", [&] { write_image(folder / "folder.png", image); });
  expect_error(ErrorKind::kUsage, "No such file or directory", [&] { write_image(folder / "missing/a.png", image); });
  expect_error(ErrorKind::kUsage, "JPEG quality 0", [&] { write_image(folder / "a.jpg", image, {.jpeg_quality = 0}); });
  expect_error(ErrorKind::kUsage, "PNG level 10", [&] { write_image(folder / "a.png", image, {.png_level = 10}); });
  expect_error(ErrorKind::kUsage, "WebP quality 101", [&] { write_image(folder / "a.webp", image, {.webp_quality = 101}); });
  expect_error(ErrorKind::kUsage, "a WebP cannot be 20000×2", [&] { write_image(folder / "a.webp", picture(20000, 2)); });
  expect_error(ErrorKind::kUsage, "a JPEG cannot be 65535×1", [&] { write_image(folder / "a.jpg", picture(65535, 1)); });
  expect_error(ErrorKind::kUsage, "a PNG of 0×0", [&] { write_image(folder / "a.png", Image{}); });
  EXPECT_EQ(folder.entries(), 1);
  if (std::filesystem::exists("/dev/full")) {
    std::filesystem::create_symlink("/dev/full", folder / "full.png");
    expect_error(ErrorKind::kIo, "full.png: cannot write: No space left on device", [&] { write_image(folder / "full.png", image); });
  }
}

TEST(Psnr, MeasuresDecibels) {
  const Image a = picture(10, 10);
  EXPECT_EQ(psnr(a, a), std::numeric_limits<double>::infinity());
  Image b = a;
  for (uint8_t& value : b.pixels) value = static_cast<uint8_t>(value + 1);
  EXPECT_NEAR(psnr(a, b), 48.1308, 1e-4);
  expect_error(ErrorKind::kUsage, "psnr: the pictures differ in size: 10×10 and 5×20", [&] { psnr(a, picture(5, 20)); });
}

}  // namespace
}  // namespace linea
