// Damaged copies of good files: whatever a reader is given, it returns or throws linea::Error. Meant to run under the sanitizers too.
#include "tests/core/mutation.h"
#include "core/image.h"
#include "core/json.h"
#include "core/metadata.h"
#include "core/safetensors.h"
#include "tests/core/fixtures.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

using test::expect_survives;

TEST(Mutation, Safetensors) {
  const test::TemporaryFolder folder;
  write_safetensors(folder / "good",
                    {{"a", test::random_tensor({3, 4}, 1)},
                     {"layer.0.weight", test::random_tensor({5}, 2, DType::kBF16)},
                     {"empty", Tensor({0}, DType::kU8)}},
                    {{"format", "pt"}});
  const std::string good = test::read_bytes(folder / "good");
  test::MemoryFile bad;
  const auto read = [&](const std::string& data) {
    bad.replace(data.data(), data.size());
    const SafetensorsFile file(bad.path());
    unsigned sum = 0;  // touches all that was handed out
    for (const auto& [name, tensor] : file.tensors()) {
      for (int64_t i = 0; i < tensor.bytes(); ++i) sum += static_cast<const uint8_t*>(tensor.raw())[i];
    }
    return sum;
  };
  EXPECT_NO_THROW(read(good));
  expect_survives(good, 20'000, 1, read);
}

TEST(Mutation, Json) {
  const std::string good =
      R"({"_class_name": "X", "lambda_min_clipped": -Infinity, "a": [1, 2.5e3, NaN, {"b": null}], "s": "\u00e9\ud83c\udfa8 é", "t": true})";
  expect_survives(good, 20'000, 2, [](const std::string& data) { parse_json(data, "x"); });
}

TEST(Mutation, Infotext) {
  const std::string good =
      "a red apple\nsecond\nNegative prompt: blurry\nworse\nSteps: 20, Sampler: \"DPM++, \\\"2M\\\"\", Seed: 1, Size: 512x512, Exact "
      "prompt: "
      "\"a\\nb\", SDCPP: {\"a\": 1}";
  expect_survives(good, 20'000, 3, [](const std::string& data) { parse_infotext(data); });
}

TEST(Mutation, PngText) {
  const std::string good = test::read_bytes(test::data_path("images/rgb.png"));
  expect_survives(good, 10'000, 4, [](const std::string& data) { decode_png_text(test::as_bytes(data), "x"); });
}

class MutationOfImages : public testing::TestWithParam<const char*> {};

TEST_P(MutationOfImages, Survives) {
  const std::string good = test::read_bytes(test::data_path(std::string("images/") + GetParam()));
  const auto read = [](const std::string& data) {
    const Image image = decode_image(test::as_bytes(data), "x");
    ASSERT_EQ(static_cast<int64_t>(image.pixels.size()), image.width * image.height * 3);
  };
  EXPECT_NO_THROW(read(good));
  expect_survives(good, 2'000, 5, read);
}

INSTANTIATE_TEST_SUITE_P(Files, MutationOfImages,
                         testing::Values("rgb.png", "rgba.png", "palette_transparent.png", "interlaced16.png", "baseline.jpg",
                                         "progressive.jpg", "cmyk.jpg", "lossless.webp", "lossy.webp", "alpha.webp"));

}  // namespace
}  // namespace linea
