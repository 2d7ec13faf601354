// DcAutoencoder against diffusers: one small random model for every architecture switch (tests/golden/make_vae.py), and strips against
// whole.
#include "vae/autoencoder.h"

#include <gtest/gtest.h>

#include "core/layout.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

struct Model {
  test::TestContext ctx;
  DcAutoencoder vae;

  Model(const std::string& variant, DType dtype)
      : ctx(dtype, int64_t{256} << 20),
        vae(DcAutoencoder::load(*ctx, Checkpoint::open_folder(test::data_path("vae/" + variant), "diffusion_pytorch_model"),
                                DcAeConfig::from(Config::read(test::data_path("vae/" + variant + "/config.json"))),
                                DcAutoencoder::kEncoderAndDecoder)) {}

  Tensor decode(const Tensor& latents_nchw, int64_t strip_rows = 0) {
    const Tensor latents = to_token_major(latents_nchw).to(ctx->dtype).to(test::test_device());
    const int64_t f = vae.config().compression();
    Tensor image({latents.dim(0), latents.dim(1) * f, latents.dim(2) * f, vae.config().in_channels}, DType::kF32, test::test_device());
    vae.decode(*ctx, latents, image, strip_rows);
    return to_channel_major(image.to(kCpuDevice));
  }

  Tensor encode(const Tensor& image_nchw, int64_t strip_rows = 0) {
    const Tensor image = to_token_major(image_nchw).to(ctx->dtype).to(test::test_device());
    const int64_t f = vae.config().compression();
    Tensor latents({image.dim(0), image.dim(1) / f, image.dim(2) / f, vae.config().latent_channels}, ctx->dtype, test::test_device());
    vae.encode(*ctx, image, latents, strip_rows);
    return to_channel_major(latents.to(kCpuDevice).to(DType::kF32));
  }
};

class DcAutoencoderGolden : public testing::TestWithParam<const char*> {};

TEST_P(DcAutoencoderGolden, Fp32) {
  const test::Golden golden(std::string("vae/") + GetParam() + "/golden.safetensors");
  Model model(GetParam(), DType::kF32);
  EXPECT_LE(test::relative_l2(model.encode(golden["image"]), golden["latents"]), 1e-5);
  EXPECT_LE(test::relative_l2(model.decode(golden["latents"]), golden["decoded"]), 1e-5);
}

TEST_P(DcAutoencoderGolden, FewPixelsEqualTheReferencesQuadraticForm) {
  const test::Golden golden(std::string("vae/") + GetParam() + "/golden.safetensors");
  Model model(GetParam(), DType::kF32);
  const Tensor latents = golden["latents"];
  Tensor corner({1, latents.dim(1), 2, 2}, DType::kF32);
  for (int64_t c = 0; c < latents.dim(1); ++c) {
    for (int64_t i = 0; i < 4; ++i) {
      corner.data<float>()[c * 4 + i] = latents.data<float>()[(c * latents.dim(2) + i / 2) * latents.dim(3) + i % 2];
    }
  }
  EXPECT_LE(test::relative_l2(model.decode(corner), golden["decoded_small"]), 1e-5);
}

TEST_P(DcAutoencoderGolden, Bf16) {
  const test::Golden golden(std::string("vae/") + GetParam() + "/golden.safetensors");
  Model model(GetParam(), DType::kBF16);
  // Narrow random models round coarsely: the bound is 1e-2, or what the reference itself loses in bf16.
  const auto bound = [&](const std::string& name) { return std::max(1e-2, test::relative_l2(golden[name + "_bf16"], golden[name])); };
  EXPECT_LE(test::relative_l2(model.encode(golden["image"]), golden["latents"]), bound("latents"));
  EXPECT_LE(test::relative_l2(model.decode(golden["latents"]), golden["decoded"]), bound("decoded"));
}

TEST_P(DcAutoencoderGolden, StripsEqualTheWholeToTheLastBit) {
  const test::Golden golden(std::string("vae/") + GetParam() + "/golden.safetensors");
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Model model(GetParam(), dtype);
    const Tensor image = model.decode(golden["latents"]), latents = model.encode(golden["image"]);
    for (int64_t strip_rows = 1; strip_rows < image.dim(2); strip_rows += strip_rows < 16 ? 3 : 17) {
      EXPECT_TRUE(test::same_bits(model.decode(golden["latents"], strip_rows), image)) << strip_rows;
      EXPECT_TRUE(test::same_bits(model.encode(golden["image"], strip_rows), latents)) << strip_rows;
    }
  }
}

TEST(DcAutoencoderStrips, OfThirtySizesEqualTheWholeForEveryHeight) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Model model("sana", dtype);
    for (int64_t n = 0; n < 30; ++n) {
      const int64_t height = 1 + n * 7 % 11, width = 1 + n * 5 % 8, channels = model.vae.config().latent_channels;
      const Tensor latents = test::random_tensor({1, channels, height, width}, 100 + static_cast<uint64_t>(n));
      const Tensor whole = model.decode(latents);
      for (int64_t strip_rows = 1; strip_rows < whole.dim(2); ++strip_rows) {
        ASSERT_TRUE(test::same_bits(model.decode(latents, strip_rows), whole))
            << height << "×" << width << " latents, strips of " << strip_rows << " rows, " << name_of(dtype);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EverySwitch, DcAutoencoderGolden,
                         testing::Values("sana", "shuffle", "lite", "mix", "bn_attention", "no_shortcuts", "deep"));

TEST(DcAeConfig, RefusesWhatTheArchitectureDoesNotAllow) {
  const Json valid = read_json_file(test::data_path("vae/sana/config.json"));
  const auto refuses = [&](const char* key, const Json& value) {
    Json json = valid;
    json[key] = value;
    EXPECT_THROW(DcAeConfig::from(Config(json, "config.json")), Error) << key;
  };
  EXPECT_EQ(DcAeConfig::from(Config(valid, "config.json")).compression(), 4);
  refuses("decoder_block_out_channels", {8, 16});
  refuses("decoder_block_out_channels", {8, 16, 24});
  refuses("encoder_block_types", "TransformerBlock");
  refuses("decoder_act_fns", "mish");
  refuses("decoder_norm_types", {"rms_norm"});
  refuses("decoder_qkv_multiscales", {{}, {}, {4}});
  refuses("encoder_layers_per_block", {1, 0, 1});
  refuses("scaling_factor", -1);
}

}  // namespace
}  // namespace linea
