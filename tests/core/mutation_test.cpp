// Damaged copies of good files: whatever a reader is given, it returns or throws linea::Error. Meant to run under the sanitizers too.
#include <cstring>
#include <random>

#include "core/image.h"
#include "core/json.h"
#include "core/metadata.h"
#include "core/safetensors.h"
#include "tests/core/fixtures.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

// Bytes that mean something to one of the formats.
const std::string kMeaningful = std::string(1, '\0') + "\xff\x7f\x80\"{}[],:0123456789-e";

// A copy with a few bytes changed, removed, repeated or exchanged for values that break length arithmetic.
std::string mutated(std::string data, std::mt19937& random) {
  const auto place = [&] { return data.empty() ? 0 : random() % data.size(); };
  for (unsigned n = 1 + random() % 4; n > 0 && !data.empty(); --n) {
    switch (random() % 8) {
      case 0: data[place()] = static_cast<char>(random()); break;
      case 1: data[place()] ^= static_cast<char>(1 << random() % 8); break;
      case 2: data[place()] = kMeaningful[random() % kMeaningful.size()]; break;
      case 3: data.resize(place()); break;
      case 4: data.erase(place(), 1 + random() % 16); break;
      case 5: data.insert(place(), data.substr(place(), random() % 32)); break;
      case 6: data.insert(place(), std::string(1 + random() % 8, static_cast<char>(random()))); break;
      case 7: {
        const size_t at = place();
        const uint64_t value = ~uint64_t{0} >> random() % 64;
        std::memcpy(data.data() + at, &value, std::min<size_t>(1 + random() % 8, data.size() - at));
        break;
      }
    }
  }
  return data;
}

// Calls `reader` with `count` damaged copies; anything but linea::Error fails the test.
template <class Reader> void expect_survives(const std::string& original, int count, uint32_t seed, Reader reader) {
  std::mt19937 random(seed);
  for (int i = 0; i < count; ++i) {
    const std::string damaged = mutated(original, random);
    try {
      reader(damaged);
    } catch (const Error& error) {
      ASSERT_NE(error.kind(), ErrorKind::kInternal) << error.what();
      ASSERT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    }
  }
}

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
