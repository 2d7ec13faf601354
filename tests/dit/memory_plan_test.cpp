// Memory plans: the choice among what fits, that a plan's numbers are those of the run, and that no plan changes a picture.
#include "dit/pipeline/memory_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>
#include <utility>

#include "core/memory_use.h"
#include "dit/pipeline/pipeline.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

// Megabytes in round numbers: text 100, transformer 60 in ten layers, decoder 5.
MemoryNeeds made_up_needs(bool streamed, bool text_is_prepared = false) {
  MemoryNeeds needs;
  needs.library_bytes = 10;
  needs.steps = 20;
  needs.picture_rows = 1024;
  needs.text = {100, 100};
  needs.transformer = {60, 60};
  needs.decoder = {5, 5};
  needs.text_activations = 2;
  needs.step_activations = 20;
  needs.strips = {{0, 90, 1.0}, {512, 50, 1.1}, {256, 40, 1.3}, {128, 35, 1.7}};
  if (streamed) {
    needs.streamed = {.text_is_prepared = text_is_prepared,
                      .text = {1, 6},
                      .transformer = {10, 15},
                      .text_activations = 3,
                      .step_activations = 30,
                      .text_bytes = 99,
                      .step_bytes = 50,
                      .layers = 10};
  }
  return needs;
}

TEST(ChoosePlan, WithoutALimitEverythingStaysAndStripsRepeatLittle) {
  const std::optional<MemoryPlan> plan = choose_plan(made_up_needs(false), 0);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->all_resident());
  EXPECT_EQ(plan->decoder.strip_rows, 512);
  EXPECT_EQ(plan->peak(), 10 + 165 + 50);
  EXPECT_EQ(plan->resident_bytes(), 165);
}

TEST(ChoosePlan, WhatIsNeededAtOtherTimesGoes) {
  const std::optional<MemoryPlan> plan = choose_plan(made_up_needs(false), 185);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->text.weights, Residency::kOffloaded);
  EXPECT_EQ(plan->transformer.weights, Residency::kResident);
  EXPECT_EQ(plan->peak(), 10 + 65 + 102);
}

TEST(ChoosePlan, StreamsWhatDoesNotFitAndKeepsAsManyLayersAsItCan) {
  const MemoryNeeds needs = made_up_needs(true);
  const std::optional<MemoryPlan> plan = choose_plan(needs, 80);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->text.weights, Residency::kStreamed);
  EXPECT_LE(plan->peak(), 80);
  EXPECT_FALSE(choose_plan(needs, least_memory(needs) - 1));
  ASSERT_TRUE(choose_plan(needs, least_memory(needs)));
  EXPECT_EQ(choose_plan(needs, least_memory(needs))->transformer.weights, Residency::kStreamed);
}

// Read from the file for both prompts, its layers would take longer than the whole encoder once; from a home they take less.
TEST(ChoosePlan, ATextEncoderThatGoesIsStreamedWhereItHasAHome) {
  const std::optional<MemoryPlan> reloaded = choose_plan(made_up_needs(true, false), 185),
                                  home = choose_plan(made_up_needs(true, true), 185);
  ASSERT_TRUE(reloaded && home);
  EXPECT_EQ(reloaded->text.weights, Residency::kOffloaded);
  EXPECT_FALSE(reloaded->text.stays);
  EXPECT_EQ(home->text.weights, Residency::kStreamed);
  EXPECT_TRUE(home->text.stays);
  EXPECT_EQ(home->transformer.weights, Residency::kResident);
  EXPECT_EQ(home->text.peak_bytes, 10 + 65 + 6);  // more while it is loaded than while it runs, 1 + 3
  EXPECT_EQ(home->transformer.peak_bytes, 10 + 1 + 65 + 20);
  EXPECT_EQ(home->decoder.peak_bytes, 10 + 1 + 65 + 50);
  EXPECT_EQ(home->resident_bytes(), 66);
}

// What is copied while the step before computes costs no time: then a layer that stays is worth less than memory for anything else.
TEST(ChoosePlan, LayersThatComeBesideLongStepsAreNotWaitedFor) {
  MemoryNeeds needs = made_up_needs(true, true);
  EXPECT_EQ(choose_plan(needs, 96)->transformer.weights, Residency::kOffloaded);
  needs.streamed->step_rows = 25000;
  const std::optional<MemoryPlan> plan = choose_plan(needs, 96);
  EXPECT_EQ(plan->transformer.weights, Residency::kStreamed);
  EXPECT_NEAR(plan->transformer.stream_seconds, 0, 1e-12);
  needs.streamed->step_rows = 20000;
  const std::optional<MemoryPlan> waiting = choose_plan(needs, least_memory(needs));
  EXPECT_NEAR(waiting->transformer.stream_seconds, 20 * 50 * (1 / 40e9 - 20000 / 1e15), 1e-12);
}

// A file that is quantised as it is read comes slower than others.
TEST(ChoosePlan, PutsOutWhatIsSoonestBack) {
  MemoryNeeds needs = made_up_needs(false);
  needs.transformer = needs.text;
  needs.text_activations = needs.step_activations;
  needs.text.load_rate = needs.transformer.load_rate / 2;
  EXPECT_EQ(choose_plan(needs, 185)->transformer.weights, Residency::kOffloaded);
  std::swap(needs.text.load_rate, needs.transformer.load_rate);
  EXPECT_EQ(choose_plan(needs, 185)->text.weights, Residency::kOffloaded);
}

TEST(ChoosePlan, MoreMemoryNeverCostsTime) {
  for (const bool text_is_prepared : {false, true}) {
    const MemoryNeeds needs = made_up_needs(true, text_is_prepared);
    double before = std::numeric_limits<double>::infinity();
    for (int64_t limit = least_memory(needs); limit < 300; ++limit) {
      const std::optional<MemoryPlan> plan = choose_plan(needs, limit);
      ASSERT_TRUE(plan) << limit;
      EXPECT_LE(plan->peak(), limit);
      const double copied =
          static_cast<double>(plan->text.loaded_bytes + plan->transformer.loaded_bytes + plan->decoder.loaded_bytes) / 10 +
          2 * static_cast<double>(plan->text.streamed_bytes) / (text_is_prepared ? 40 : 10) +
          20 * static_cast<double>(plan->transformer.streamed_bytes) / 40;
      const double lost = 1e-9 * copied + std::max(plan->decoder.strip_work - 1.15, 0.0) * 1e-4 * 1024;
      EXPECT_NEAR(seconds_lost(needs, *plan), lost, 1e-12) << limit;
      EXPECT_LE(lost, before + 1e-12) << limit;
      before = lost;
    }
  }
}

class PlannedPipeline : public testing::Test {
 protected:
  static PipelineOptions options(DType dtype) { return {.device = test::test_device(), .dtype = dtype}; }
  static std::string model() { return test::assets_path("models/sana-mini"); }

  static PictureRequest request(int64_t side) {
    PictureRequest r;
    // Both as long as a plan allows for.
    for (int i = 0; i < 60; ++i) r.prompt += "a red apple on a blue background ", r.negative += "a drawing of a green pear on a table ";
    r.size = {side, side};
    r.use_bins = false;
    r.steps = 2;
    r.seed = 3;
    return r;
  }

  struct Run {
    Image image;
    int64_t observed;
  };
  static Run run(SanaPipeline& pipeline, const PictureRequest& r, const MemoryPlan& plan) {
    const int64_t before = memory_use(pipeline.device()).now;  // of other tests
    pipeline.follow(plan);
    // Parts that stay are loaded when they are first needed: by a picture of another prompt, which keeps no embeddings of this one.
    PictureRequest first = r;
    first.prompt = "the first: " + r.prompt;
    first.negative = "the first: " + r.negative;
    first.steps = 1;
    pipeline.generate(first, {});
    reset_memory_peak(pipeline.device());
    Run result;
    GenerateCallbacks callbacks;
    callbacks.picture = [&](Picture&& picture) { result.image = std::move(picture.image); };
    pipeline.generate(r, callbacks);
    result.observed = memory_use(pipeline.device()).peak - before + plan.library_bytes;
    return result;
  }
};

// From everything resident down to the least that works: the plans differ, the pictures do not, and each peak is as planned.
TEST_F(PlannedPipeline, PicturesAreTheSameUnderEveryPlanAndPeaksAreAsPlanned) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const PictureRequest r = request(256);
    SanaPipeline planner(model(), options(dtype));
    const MemoryPlan roomy = planner.plan(r, 0);
    const int64_t most = roomy.peak(), least = planner.least_memory(r);
    ASSERT_LT(least, most);
    Image expected;
    std::set<std::string> kinds;
    for (int i = 0; i <= 6; ++i) {
      const int64_t limit = most - (most - least) * i / 6;
      SanaPipeline pipeline(model(), options(dtype));
      const MemoryPlan plan = pipeline.plan(r, limit);
      EXPECT_LE(plan.peak(), limit);
      const Run result = run(pipeline, r, plan);
      if (i == 0) expected = result.image;
      EXPECT_EQ(result.image, expected) << "limit " << limit;
      const double ratio = static_cast<double>(result.observed) / static_cast<double>(plan.peak());
      EXPECT_GT(ratio, 0.95) << "limit " << limit << ", planned " << plan.peak();
      EXPECT_LT(ratio, 1.05) << "limit " << limit << ", planned " << plan.peak();
      kinds.insert(std::string(name_of(plan.text.weights)) + name_of(plan.transformer.weights) + std::to_string(plan.decoder.strip_rows));
    }
    EXPECT_GE(kinds.size(), 2u);
  }
}

TEST_F(PlannedPipeline, OneModelFollowsPlanAfterPlan) {
  const PictureRequest r = request(128);
  SanaPipeline pipeline(model(), options(DType::kF32));
  const MemoryPlan roomy = pipeline.plan(r, 0), tight = pipeline.plan(r, pipeline.least_memory(r));
  const Image expected = run(pipeline, r, roomy).image;
  for (const MemoryPlan* plan : {&tight, &roomy, &tight, &tight}) EXPECT_EQ(run(pipeline, r, *plan).image, expected);
}

TEST_F(PlannedPipeline, WhatCannotWorkIsToldWithTheLeastAndTheNearest) {
  SanaPipeline pipeline(model(), options(DType::kF32));
  const PictureRequest r = request(512);
  const int64_t least = pipeline.least_memory(r);
  EXPECT_NO_THROW(pipeline.plan(r, least));
  try {
    pipeline.plan(r, least - 1);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kMemory);
    EXPECT_NE(std::string(error.what()).find("512x512"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("at least"), std::string::npos) << error.what();
    EXPECT_EQ(error.hint(), "448x448 fits");
  }
}

// Planning a published model reads no weights and takes none of their memory.
TEST_F(PlannedPipeline, PlansFullSizeModelsWithoutThem) {
  SanaPipeline pipeline("random:sana-0.6b", {.device = kCpuDevice, .dtype = DType::kF32});
  PictureRequest r;
  const int64_t before = memory_use(kCpuDevice).now;
  const MemoryPlan plan = pipeline.plan(r, 0);
  EXPECT_LT(memory_use(kCpuDevice).now - before, int64_t{64} << 20);
  // Gemma-2-2B has 2.61e9 parameters, the transformer 0.59e9.
  EXPECT_NEAR(1e-9 * static_cast<double>(plan.text.weight_bytes), 10.46, 0.05);
  EXPECT_NEAR(1e-9 * static_cast<double>(plan.transformer.weight_bytes), 2.37, 0.05);
}

// Where nothing else fits, or where that is faster than to load it for its stage: not on the CPU, which would convert each layer anew.
TEST(PlannedText, IsStreamedWhereItIsKeptPrepared) {
  const auto plan_of = [](Device device, DType dtype, int64_t limit) {
    PictureRequest r;
    r.size = {4096, 4096};
    SanaPipeline pipeline("random:sana-1.6b-4k", {.device = device, .dtype = dtype, .plans_only = true});
    return pipeline.plan(r, limit);
  };
  const MemoryPlan cpu = plan_of(kCpuDevice, DType::kF32, int64_t{16} << 30);
  EXPECT_EQ(cpu.text.weights, Residency::kOffloaded);
  EXPECT_FALSE(cpu.text.stays);

  MemoryPlan cuda;
  try {
    cuda = plan_of({DeviceKind::kCuda, 0}, DType::kF8E4M3, int64_t{8} << 30);
  } catch (const Error& error) {
    ASSERT_EQ(error.kind(), ErrorKind::kDevice) << error.what();
    GTEST_SKIP() << error.what();
  }
  EXPECT_EQ(cuda.text.weights, Residency::kStreamed);
  EXPECT_TRUE(cuda.text.stays);
  EXPECT_EQ(cuda.transformer.weights, Residency::kResident);
  // Of the encoder, its last norm stays; two of its 26 layers are there while it runs.
  EXPECT_LT(cuda.text.weight_bytes, 1 << 20);
  EXPECT_GT(cuda.text.activation_bytes, 2 * cuda.text.streamed_bytes / 26);
  EXPECT_NEAR(1e-9 * static_cast<double>(cuda.text.streamed_bytes), 2.58, 0.05);
}

// Blocks that stay and blocks that come and go, in every mixture.
TEST(StreamedTransformer, HasTheBitsOfTheResidentOne) {
  const std::string folder = test::data_path("pipeline/model/transformer");
  const SanaConfig config = SanaConfig::from(Config::read(folder + "/config.json"));
  const Checkpoint checkpoint = Checkpoint::open_folder(folder, "diffusion_pytorch_model");
  Tensor expected;
  for (int64_t resident = config.num_layers; resident >= 0; --resident) {
    test::TestContext ctx(DType::kF32, int64_t{64} << 20);
    const SanaTransformer model = SanaTransformer::load(*ctx, checkpoint, config, resident);
    EXPECT_EQ(model.is_streamed(), resident < config.num_layers);
    const Tensor rows = test::random_tensor({7, config.caption_channels}, 1).to(test::test_device());
    const SanaTransformer::Text text = model.encode_text(*ctx, rows, {0, 4, 7});
    const Tensor latents = test::random_tensor({2, 4, 4, config.in_channels}, 2).to(test::test_device());
    const std::vector<float> times = {500.0f, 500.0f};
    const Tensor velocity = ctx->allocate({2, 4, 4, config.out_channels});
    SanaTransformer::Blocks::Pass blocks = model.open_blocks(*ctx);
    for (int step = 0; step < 3; ++step) {
      model.forward(
          *ctx, {.latents = latents, .timesteps = times, .text = &text, .positions = model.positional_table(*ctx, 4, 4), .blocks = &blocks},
          velocity);
      const Tensor found = velocity.to(kCpuDevice);
      if (!expected.defined()) {
        expected = Tensor(found.shape(), found.dtype());
        std::memcpy(expected.raw(), found.raw(), static_cast<size_t>(found.bytes()));
      }
      EXPECT_TRUE(test::same_bits(found, expected)) << resident << " resident, step " << step;
    }
  }
}

}  // namespace
}  // namespace linea
