#include "app/studio/picture_form.h"

#include <gtest/gtest.h>

#include "core/metadata.h"

namespace linea::studio {
namespace {

PictureForm some_form() {
  PictureForm f;
  f.prompt = "a red apple, \"ripe\"\non a plate", f.negative = "blurry";
  f.width = 768, f.height = 512, f.steps = 12, f.guidance = 3.5, f.scheduler = "euler";
  f.random_seed = false, f.seed = 1234567890123, f.shift = 2.5, f.cuda_noise = true, f.dtype = "bf16";
  return f;
}

TEST(PictureForm, JsonRoundTrip) {
  EXPECT_EQ(form_from_json(to_json(some_form())), some_form());
  EXPECT_EQ(form_from_json(to_json(PictureForm{})), PictureForm{});
}

TEST(PictureForm, BadJsonGivesDefaults) {
  const PictureForm f =
      form_from_json(Json::parse(R"({"prompt": 3, "width": -5, "steps": 1e9, "guidance": "x", "seed": null, "shift": 1e9})"));
  EXPECT_EQ(f.prompt, "");
  EXPECT_EQ(f.width, kMinSide);
  EXPECT_EQ(f.steps, 1000);
  EXPECT_EQ(f.guidance, 4.5);
  EXPECT_FALSE(f.shift.has_value());
  EXPECT_EQ(form_from_json(Json::array()), PictureForm{});
}

TEST(PictureForm, AJobCarriesEverything) {
  const PictureJob job = to_job(some_form(), 99, "/tmp/x", "{seed}.png");
  EXPECT_EQ(job.settings.request.seed, 1234567890123u);  // kept, not the random one
  EXPECT_EQ(form_of(job.settings).prompt, some_form().prompt);
  EXPECT_EQ(form_of(job.settings).shift, 2.5);
  PictureForm random = some_form();
  random.random_seed = true;
  EXPECT_EQ(to_job(random, 99, "", "").settings.request.seed, 99u);
}

TEST(PictureForm, RestoresLineasOwnPictures) {
  const PictureSettings settings = to_settings(some_form());
  const auto restored = restore_form(to_image_text(settings), {});
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->source, "Linea");
  EXPECT_TRUE(restored->not_mapped.empty());
  PictureForm expected = some_form();
  EXPECT_EQ(restored->form, expected);
}

TEST(PictureForm, RestoresA1111TextAndSaysWhatItCouldNot) {
  const std::string text =
      "a cat\nNegative prompt: dog\nSteps: 28, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 42, Size: 512x768, Model hash: abc, Model: "
      "dreamshaper, "
      "Hires upscale: 2, Clip skip: 2, Version: v1.9";
  const auto restored = restore_form({{"parameters", text}}, {});
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->form.prompt, "a cat");
  EXPECT_EQ(restored->form.negative, "dog");
  EXPECT_EQ(restored->form.steps, 28);
  EXPECT_EQ(restored->form.seed, 42u);
  EXPECT_FALSE(restored->form.random_seed);
  EXPECT_EQ(restored->form.height, 768);
  EXPECT_EQ(restored->form.scheduler, "dpm++");
  EXPECT_EQ(restored->not_mapped, (std::vector<std::string>{"Model: dreamshaper", "Hires upscale: 2", "Clip skip: 2"}));
}

TEST(PictureForm, CutsStableDiffusionCppsJson) {
  const auto restored = restore_infotext("a cat\nSteps: 5, CFG scale: 2, Seed: 1, Size: 64x64, SDCPP: {\"a\": [1, 2], \"Seed: 3\": 4}", {});
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->form.seed, 1u);
  EXPECT_TRUE(restored->not_mapped.empty());
}

TEST(PictureForm, NothingToRestore) {
  EXPECT_FALSE(restore_form({}, {}));
  EXPECT_FALSE(restore_form({{"parameters", "just words"}}, {}));
  EXPECT_FALSE(restore_form({{"parameters", "{\"sui_image_params\": {}}"}}, {}));
}

TEST(PictureForm, PresetsKeepTheArea) {
  for (const SizePreset& preset : kSizePresets) {
    PictureForm f;
    apply_preset(f, preset, 1024);
    EXPECT_EQ(f.width % 32, 0);
    EXPECT_EQ(f.height % 32, 0);
    EXPECT_NEAR(f.width * f.height / (1024.0 * 1024), 1, 0.05) << preset.name;
    EXPECT_NEAR(static_cast<double>(f.width) / f.height, static_cast<double>(preset.width_parts) / preset.height_parts, 0.06)
        << preset.name;
  }
}

}  // namespace
}  // namespace linea::studio
