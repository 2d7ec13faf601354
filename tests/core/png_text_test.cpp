#include <zlib.h>

#include "core/image.h"
#include "tests/core/fixtures.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

const std::string kSignature = "\x89PNG\r\n\x1a\n";
const std::string kNul(1, '\0');

std::string big_endian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string chunk(const std::string& type, const std::string& content) {
  const std::string checked = type + content;
  const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size()));
  return big_endian(static_cast<uint32_t>(content.size())) + checked + big_endian(static_cast<uint32_t>(crc));
}

std::string packed(const std::string& text) {
  uLongf size = compressBound(text.size());
  std::string result(size, '\0');
  compress(reinterpret_cast<Bytef*>(result.data()), &size, reinterpret_cast<const Bytef*>(text.data()), text.size());
  result.resize(size);
  return result;
}

ImageText read(const std::string& file) { return decode_png_text(test::as_bytes(file), "x.png"); }
std::string with(const std::string& chunks) { return kSignature + chunks + chunk("IEND", ""); }

TEST(PngText, ReadsEveryKind) {
  const ImageText text = read_png_text(test::data_path("images/rgb.png"));
  std::string longer, russian;
  for (int i = 0; i < 200; ++i) longer += "long ", russian += "длинный ";
  EXPECT_EQ(text, (ImageText{{"parameters", "a café\nNegative prompt: dull\nSteps: 20, Sampler: x, Seed: 1"},
                             {"title", "水墨 🎨"},
                             {"packed", longer},
                             {"packed international", russian}}));
}

TEST(PngText, RoundTrips) {
  const Image image{.width = 1, .height = 1, .channels = 3, .pixels = {1, 2, 3}};
  const ImageText text{{"parameters", "plain\ntext"}, {"latin", "café ÿ"}, {"other", "水墨 🎨"}, {"control", "a\tb\r\n"}, {"empty", ""}};
  const std::vector<uint8_t> png = encode_png(image, text);
  EXPECT_EQ(decode_png_text(png, "x"), text);
  const std::string bytes(png.begin(), png.end());
  EXPECT_NE(bytes.find("tEXtlatin" + kNul + "caf\xe9 \xff"), std::string::npos);
  EXPECT_NE(bytes.find("iTXtother"), std::string::npos);
  EXPECT_EQ(decode_image(png, "x"), image);
}

TEST(PngText, WritesWhatPngForbidsAsReplacements) {
  const Image image{.width = 1, .height = 1, .channels = 3, .pixels = {1, 2, 3}};
  const std::vector<uint8_t> png = encode_png(image, {{"a", std::string("x\0y", 3)}, {"b", "bad \xff"}});
  EXPECT_EQ(decode_png_text(png, "x"), (ImageText{{"a", "x\xef\xbf\xbdy"}, {"b", "bad \xef\xbf\xbd"}}));
  for (const std::string key : {"", " a", "a ", "a\nb", "\xe9"}) EXPECT_THROW(encode_png(image, {{key, "x"}}), Error);
  EXPECT_THROW(encode_png(image, {{std::string(80, 'a'), "x"}}), Error);
}

TEST(PngText, NeedsNoPixels) {
  EXPECT_EQ(read(with(chunk("IDAT", "junk") + chunk("tEXt", "key" + kNul + "value"))), (ImageText{{"key", "value"}}));
  EXPECT_TRUE(read(with("")).empty());
}

TEST(PngText, RefusesDamage) {
  const auto expect_refused = [](const std::string& file, const std::string& message) {
    test::expect_error(ErrorKind::kBadFile, message, [&] { read(file); });
  };
  expect_refused("GIF89a", "x.png: is not a PNG image");
  expect_refused("", "is not a PNG image");
  expect_refused(kSignature, "cut short");
  expect_refused(kSignature + chunk("tEXt", "a" + kNul), "cut short");
  expect_refused(kSignature + big_endian(0xffffffff) + "tEXtabcdefgh", "cut short");
  std::string damaged = with(chunk("tEXt", "key" + kNul + "value"));
  damaged[damaged.find("value")] = 'V';
  expect_refused(damaged, "checksum is wrong");
  expect_refused(with(chunk("tEXt", "no end")), "no end of its keyword");
  expect_refused(with(chunk("zTXt", "key" + kNul)), "cut short");
  expect_refused(with(chunk("zTXt", "key" + kNul + "\x01" + packed("x"))), "compression method");
  expect_refused(with(chunk("zTXt", "key" + kNul + kNul + "junk")), "cannot be unpacked");
  expect_refused(with(chunk("zTXt", "key" + kNul + kNul + packed("some text").substr(0, 8))), "cannot be unpacked");
  expect_refused(with(chunk("iTXt", "key" + kNul)), "cut short");
  expect_refused(with(chunk("iTXt", "key" + kNul + kNul + kNul + "en")), "no end of its keyword");
}

TEST(PngText, BoundsUnpackedText) {
  const std::string bomb = chunk("zTXt", "key" + kNul + kNul + packed(std::string(20 << 20, 'a')));
  ASSERT_LT(bomb.size(), 100'000u);
  test::expect_error(ErrorKind::kBadFile, "exceeds 16 MiB", [&] { read(with(bomb)); });
  const std::string part = chunk("zTXt", "key" + kNul + kNul + packed(std::string(6 << 20, 'a')));
  EXPECT_EQ(read(with(part + part)).size(), 2u);
  test::expect_error(ErrorKind::kBadFile, "exceeds 16 MiB", [&] { read(with(part + part + part)); });
}

}  // namespace
}  // namespace linea
