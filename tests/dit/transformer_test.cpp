// SanaTransformer against diffusers: one small random model for every architecture switch (tests/golden/make_dit.py).
#include "dit/transformer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "core/layout.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

struct Outcome {
  std::map<std::string, Tensor> taps;
  Tensor velocity;  // NCHW f32
};

// The rows of a masked [B, T, C] batch that the mask keeps, one after the other, and where each member's begin.
Tensor real_rows(const Tensor& embeddings, const Tensor& mask, std::vector<int64_t>& offsets) {
  const int64_t B = mask.dim(0), T = mask.dim(1), C = embeddings.dim(2);
  std::vector<float> rows;
  offsets = {0};
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t t = 0; t < T; ++t) {
      if (mask.data<int64_t>()[b * T + t] == 0) continue;
      const float* row = embeddings.data<float>() + (b * T + t) * C;
      rows.insert(rows.end(), row, row + C);
    }
    offsets.push_back(static_cast<int64_t>(rows.size()) / C);
  }
  Tensor result({offsets.back(), C}, DType::kF32);
  std::copy(rows.begin(), rows.end(), result.data<float>());
  return result;
}

Outcome run(const std::string& variant, DType dtype) {
  const std::string folder = test::data_path("dit/" + variant);
  const test::Golden golden("dit/" + variant + "/golden.safetensors");
  test::TestContext ctx(dtype, int64_t{64} << 20);
  const SanaConfig config = SanaConfig::from(Config::read(folder + "/config.json"));
  const SanaTransformer model = SanaTransformer::load(*ctx, Checkpoint::open_folder(folder, "diffusion_pytorch_model"), config);

  Outcome result;
  ctx->tap = [&](const std::string& name, const Tensor& value) { result.taps[name] = download(*ctx, value).to(DType::kF32); };
  std::vector<int64_t> offsets;
  const Tensor rows = real_rows(golden["embeddings"], golden["mask"], offsets);
  const SanaTransformer::Text text = model.encode_text(*ctx, rows.to(test::test_device()), offsets);
  const Tensor latents = to_token_major(golden["latents"]).to(dtype).to(test::test_device());
  const int64_t p = config.patch_size;
  const Tensor timesteps = golden["timestep"];
  const Tensor velocity = ctx->allocate({latents.dim(0), latents.dim(1), latents.dim(2), config.out_channels});
  model.forward(*ctx,
                {.latents = latents,
                 .timesteps = {timesteps.data<float>(), static_cast<size_t>(timesteps.elements())},
                 .guidance = 4.5f,
                 .text = &text,
                 .positions = model.positional_table(*ctx, latents.dim(1) / p, latents.dim(2) / p)},
                velocity);
  result.velocity = to_channel_major(velocity.to(kCpuDevice).to(DType::kF32));
  return result;
}

class SanaTransformerGolden : public testing::TestWithParam<const char*> {};

TEST_P(SanaTransformerGolden, Fp32) {
  const test::Golden golden(std::string("dit/") + GetParam() + "/golden.safetensors");
  const Outcome result = run(GetParam(), DType::kF32);
  for (const auto& [name, value] : result.taps) {
    if (name == "caption") continue;  // only its unmasked rows are computed
    EXPECT_LE(test::relative_l2(value, golden[name]), 1e-5) << name;
  }
  EXPECT_TRUE(result.taps.contains("transformer_blocks.0"));
  EXPECT_LE(test::relative_l2(result.velocity, golden["velocity"]), 1e-5);
}

TEST_P(SanaTransformerGolden, Bf16) {
  const test::Golden golden(std::string("dit/") + GetParam() + "/golden.safetensors");
  const Outcome result = run(GetParam(), DType::kBF16);
  EXPECT_LE(test::relative_l2(result.velocity, golden["velocity"]), 1e-2);
}

INSTANTIATE_TEST_SUITE_P(EverySwitch, SanaTransformerGolden,
                         testing::Values("plain", "qk_norm", "guidance", "positions", "bias", "patch2", "head32", "head112"));

TEST(SanaTransformer, PlanCoversTheRunExactly) {
  const std::string folder = test::data_path("dit/plain");
  const SanaConfig config = SanaConfig::from(Config::read(folder + "/config.json"));
  test::TestContext run_ctx;
  const SanaTransformer model = SanaTransformer::load(*run_ctx, Checkpoint::open_folder(folder, "diffusion_pytorch_model"), config);
  const auto forward = [&](Context& ctx) {
    const Arena::Scope scope(*ctx.arena);
    const Tensor rows = ctx.allocate({5, config.caption_channels});
    const Tensor latents = ctx.allocate({1, 4, 4, config.in_channels}), velocity = ctx.allocate({1, 4, 4, config.out_channels});
    upload(ctx, std::vector<float>(static_cast<size_t>(rows.elements()), 0.5f), rows);
    upload(ctx, std::vector<float>(static_cast<size_t>(latents.elements()), 0.5f), latents);
    const SanaTransformer::Text text = model.encode_text(ctx, rows, {0, 5});
    const float timestep = 500;
    model.forward(ctx, {.latents = latents, .timesteps = {&timestep, 1}, .text = &text, .positions = {}}, velocity);
  };
  Arena planning = Arena::planning(test::test_device());
  Context plan = *run_ctx;
  plan.arena = &planning;
  forward(plan);
  Arena exact(test::test_device(), planning.peak());
  Context real = *run_ctx;
  real.arena = &exact;
  forward(real);
  EXPECT_EQ(exact.peak(), planning.peak());
  EXPECT_GT(exact.peak(), 0);
}

// One map of latents for all texts is computed once until it meets them, and gives the bits of as many equal maps.
TEST(SanaTransformer, MembersMayShareTheirLatents) {
  for (const char* variant : {"plain", "qk_norm", "positions", "patch2"}) {
    const std::string folder = test::data_path(std::string("dit/") + variant);
    const SanaConfig config = SanaConfig::from(Config::read(folder + "/config.json"));
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      test::TestContext ctx(dtype, int64_t{64} << 20);
      const SanaTransformer model = SanaTransformer::load(*ctx, Checkpoint::open_folder(folder, "diffusion_pytorch_model"), config);
      const Tensor rows = test::random_tensor({9, config.caption_channels}, 1, dtype).to(test::test_device());
      const SanaTransformer::Text text = model.encode_text(*ctx, rows, {0, 2, 9});
      const Tensor shared = test::random_tensor({1, 24, 16, config.in_channels}, 2, dtype).to(test::test_device());
      const Tensor each = ctx->allocate({2, 24, 16, config.in_channels});
      for (int64_t b = 0; b < 2; ++b) cast(*ctx, shared, each.slice(0, b, 1));
      const Tensor positions = model.positional_table(*ctx, 24 / config.patch_size, 16 / config.patch_size);
      const auto velocity_of = [&](const Tensor& latents) {
        const Tensor velocity = ctx->allocate({2, 24, 16, config.out_channels});
        const float timestep = 500;
        model.forward(*ctx, {.latents = latents, .timesteps = {&timestep, 1}, .text = &text, .positions = positions}, velocity);
        return velocity.to(kCpuDevice);
      };
      const Tensor expected = velocity_of(each), found = velocity_of(shared);
      EXPECT_TRUE(test::same_bits(found, expected)) << variant << ", " << name_of(dtype);
      EXPECT_FALSE(test::same_bits(found.slice(0, 0, 1), found.slice(0, 1, 1))) << variant;
    }
  }
}

TEST(SanaTransformer, RefusesAConfigThatDoesNotFitTheWeights) {
  const std::string folder = test::data_path("dit/plain");
  Json json = read_json_file(folder + "/config.json");
  test::TestContext ctx;
  const auto load = [&] {
    SanaTransformer::load(*ctx, Checkpoint::open_folder(folder, "diffusion_pytorch_model"), SanaConfig::from(Config(json, "config.json")));
  };
  json["num_layers"] = 1;  // weights are left over
  EXPECT_THROW(load(), Error);
  json["num_layers"] = 3;  // weights are missing
  EXPECT_THROW(load(), Error);
  json["num_layers"] = 2;
  json["mlp_ratio"] = 3.0;
  EXPECT_THROW(load(), Error);
}

}  // namespace
}  // namespace linea
