// Whole pictures against diffusers' SanaPipeline (tests/golden/make_pipeline.py): text, noise, schedule, guidance, transformer,
// autoencoder, binning. And what the reference does not promise: the same bytes alone, in company, and for any number of threads.
#include "dit/pipeline/pipeline.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <thread>

#include "core/memory_use.h"
#include "core/safetensors.h"
#include "core/threads.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrompt = "A painting of a Squirrel eating a burger";

// The golden model as one folder, from the parts that the repository keeps once.
class PipelineTest : public testing::Test {
 protected:
  PipelineTest() {
    char name[] = "/tmp/linea-pipeline-XXXXXX";
    folder_ = mkdtemp(name);
    const auto link = [&](const std::string& from, const char* to) { fs::create_directory_symlink(test::data_path(from), folder_ / to); };
    for (const char* part : {"transformer", "vae", "scheduler"}) link(std::string("pipeline/model/") + part, part);
    link("textenc/tokenizer", "tokenizer");
    link("textenc/text_encoder", "text_encoder");
  }
  ~PipelineTest() override { fs::remove_all(folder_); }

  SanaPipeline open(DType dtype = DType::kF32) const {
    return SanaPipeline(folder_, {.device = test::test_device(), .dtype = dtype, .instruction = {}});
  }

  struct Result {
    std::map<std::string, Tensor> trace;
    std::vector<Picture> pictures;
  };
  static Result run(SanaPipeline& pipeline, const PictureRequest& request) {
    Result result;
    GenerateCallbacks callbacks;
    callbacks.picture = [&](Picture&& picture) { result.pictures.push_back(std::move(picture)); };
    callbacks.trace = [&](const std::string& name, const Tensor& value) {
      Tensor copy(value.shape(), value.dtype());
      std::memcpy(copy.raw(), value.raw(), static_cast<size_t>(value.bytes()));
      result.trace[name] = copy;
    };
    pipeline.generate(request, callbacks);
    return result;
  }

  static PictureRequest request(int steps, double guidance) {
    PictureRequest r;
    r.prompt = kPrompt;
    r.size = {32, 64};
    r.use_bins = false;
    r.steps = steps;
    r.guidance = guidance;
    r.seed = 5;
    return r;
  }

  fs::path folder_;
  test::Golden golden_{"pipeline/golden.safetensors"};
};

TEST_F(PipelineTest, TrajectoryAndPictureEqualTheReference) {
  SanaPipeline pipeline = open();
  PictureRequest r = request(20, 4.5);
  r.negative = "blurry";
  const Result result = run(pipeline, r);
  for (int i = 1; i <= 20; ++i) {
    char name[24];
    std::snprintf(name, sizeof name, "latents_%03d", i);
    EXPECT_LE(test::relative_l2(result.trace.at(name), golden_[std::string("dpm.") + name]), 1e-4) << name;
  }
  EXPECT_LE(test::relative_l2(result.trace.at("image"), golden_["dpm.image"]), 1e-4);
  for (const char* name : {"prompt_ids", "prompt_embeds", "prompt_mask", "negative_ids", "negative_embeds", "negative_mask", "timesteps",
                           "sigmas", "latents_init"}) {
    EXPECT_TRUE(result.trace.contains(name)) << name;
  }
}

TEST_F(PipelineTest, WithoutGuidance) {
  SanaPipeline pipeline = open();
  EXPECT_LE(test::relative_l2(run(pipeline, request(4, 1.0)).trace.at("image"), golden_["unguided.image"]), 1e-4);
}

TEST_F(PipelineTest, EulerInPlaceOfTheModelsScheduler) {
  SanaPipeline pipeline = open();
  PictureRequest r = request(7, 2.0);
  r.scheduler = "euler";
  r.flow_shift = 3.0;
  EXPECT_LE(test::relative_l2(run(pipeline, r).trace.at("image"), golden_["euler.image"]), 1e-4);
}

TEST_F(PipelineTest, JointNoiseEqualsTheReferencesBatchOfOneGenerator) {
  SanaPipeline pipeline = open();
  PictureRequest r = request(3, 3.0);
  r.count = 2;
  r.joint_noise = true;
  const Result result = run(pipeline, r);
  ASSERT_EQ(result.pictures.size(), 2u);
  const Tensor want = golden_["joint.image"];
  EXPECT_LE(test::relative_l2(result.trace.at("image"), want.slice(0, 0, 1)), 1e-4);
  for (int64_t k = 0; k < 2; ++k) {
    int64_t differing = 0;  // by more than one level
    for (int64_t y = 0; y < 32; ++y) {
      for (int64_t x = 0; x < 64; ++x) {
        for (int64_t c = 0; c < 3; ++c) {
          const float value = want.data<float>()[((k * 3 + c) * 32 + y) * 64 + x];
          const float level = std::clamp(value * 0.5f + 0.5f, 0.0f, 1.0f) * 255.0f;
          const auto got = result.pictures[static_cast<size_t>(k)].image.pixels[static_cast<size_t>((y * 64 + x) * 3 + c)];
          differing += std::abs(level - static_cast<float>(got)) > 1.0f;
        }
      }
    }
    EXPECT_EQ(differing, 0) << "picture " << k;
  }
}

TEST_F(PipelineTest, BinsRenderAtATrainedSizeAndCropAsTheReference) {
  SanaPipeline pipeline = open();
  PictureRequest r = request(2, 3.0);
  r.size = {64, 96};
  r.use_bins = true;
  const Result result = run(pipeline, r);
  EXPECT_EQ(result.pictures[0].rendered, (PictureSize{416, 608}));
  EXPECT_EQ(result.pictures[0].image.width, 96);
  EXPECT_LE(test::relative_l2(result.trace.at("image"), golden_["bins.image"]), 1e-4);
}

TEST_F(PipelineTest, SixteenBitStaysNearTheReference) {
  SanaPipeline bf16 = open(DType::kBF16), fp16 = open(DType::kF16);
  EXPECT_LE(test::relative_l2(run(bf16, request(4, 1.0)).trace.at("image"), golden_["unguided.image"]), 5e-2);
  EXPECT_LE(test::relative_l2(run(fp16, request(4, 1.0)).trace.at("image"), golden_["unguided.image"]), 5e-3);
}

TEST_F(PipelineTest, APictureIsTheSameAloneInCompanyAndForAnyNumberOfThreads) {
  SanaPipeline pipeline = open();
  PictureRequest r = request(3, 4.5);
  r.count = 4;
  const std::vector<Picture> together = run(pipeline, r).pictures;
  ASSERT_EQ(together.size(), 4u);
  for (int threads : {1, 2, 3}) {
    set_thread_count(threads);
    for (int k = 0; k < 4; ++k) {
      PictureRequest alone = request(3, 4.5);
      alone.seed = 5 + static_cast<uint64_t>(k);
      EXPECT_EQ(run(pipeline, alone).pictures[0].image, together[static_cast<size_t>(k)].image) << threads << " threads, picture " << k;
    }
  }
  set_thread_count(0);
}

// Memory runs out at each allocation in turn, on the device and on the host: one error, and the next picture is as ever.
TEST_F(PipelineTest, RunsOutOfMemoryAnywhereAndGoesOn) {
  const PictureRequest r = request(2, 4.5);
  SanaPipeline untroubled = open();
  const Image expected = run(untroubled, r).pictures.at(0).image;
  for (const Device device : {test::test_device(), kCpuDevice}) {
    int refused = 0;
    for (int64_t count = 0;; ++count) {
      SanaPipeline pipeline = open();  // whose models are loaded with what follows
      bool ended = false;
      memory_meter(device).refuse_after(count);
      try {
        run(pipeline, r);
        ended = true;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMemory) << error.what();
        ++refused;
      }
      memory_meter(device).refuse_after(-1);
      ASSERT_EQ(run(pipeline, r).pictures.at(0).image, expected) << "after allocation " << count << " on " << device.name();
      if (ended) break;
    }
    EXPECT_GT(refused, 3) << device.name();
    if (device.is_cpu()) break;  // both are the same
  }
}

// Fifty times, with other sizes, guidance and types in between.
TEST_F(PipelineTest, APictureIsTheSameEveryTimeAndAfterOtherWork) {
  SanaPipeline pipeline = open(), other = open(DType::kBF16);
  const PictureRequest r = request(2, 4.5);
  const Image expected = run(pipeline, r).pictures.at(0).image;
  for (int k = 0; k < 50; ++k) {
    if (k % 5 == 4) {
      PictureRequest between = request(1 + k % 3, k % 2 ? 1.0 : 6.0);
      between.size = {32 + 32 * (k % 2), 32};
      between.prompt = "another " + std::to_string(k);
      run(k % 10 == 9 ? other : pipeline, between);
    }
    ASSERT_EQ(run(pipeline, r).pictures.at(0).image, expected) << "run " << k;
  }
}

TEST_F(PipelineTest, ReconstructionReportsItsLatents) {
  SanaPipeline pipeline = open();
  Image image{66, 34, 3, std::vector<uint8_t>(66 * 34 * 3, 128)};
  std::map<std::string, Shape> shapes;
  GenerateCallbacks callbacks;
  callbacks.trace = [&](const std::string& name, const Tensor& value) { shapes[name] = value.shape(); };
  const Image again = pipeline.reconstruct(image, callbacks);
  EXPECT_EQ(again.width, 64);
  EXPECT_EQ(again.height, 32);
  EXPECT_EQ(shapes.at("latent"), (Shape{1, 4, 8, 16}));
  EXPECT_EQ(shapes.at("reconstruction"), (Shape{1, 3, 32, 64}));
}

TEST_F(PipelineTest, RefusesRequestsBeforeAnyWork) {
  SanaPipeline pipeline = open();
  const auto refuses = [&](auto change) {
    PictureRequest r = request(2, 4.5);
    change(r);
    bool started = false;
    GenerateCallbacks callbacks;
    callbacks.progress = [&](const Progress&) { started = true; };
    try {
      pipeline.generate(r, callbacks);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage) << error.what();
    }
    EXPECT_FALSE(started);
  };
  refuses([](PictureRequest& r) { r.size = {513, 513}; });
  refuses([](PictureRequest& r) { r.size = {100000, 100000}; });
  refuses([](PictureRequest& r) { r.size = {-32, 32}; });
  refuses([](PictureRequest& r) { r.steps = -3; });
  refuses([](PictureRequest& r) { r.count = 0; });
  refuses([](PictureRequest& r) { r.guidance = NAN; });
  refuses([](PictureRequest& r) { r.scheduler = "ddim"; });
  refuses([](PictureRequest& r) { r.flow_shift = 0; });
}

TEST_F(PipelineTest, CancelStopsInEveryStage) {
  SanaPipeline pipeline = open();
  for (const std::string stage : {"text", "denoise", "decode"}) {
    GenerateCallbacks callbacks;
    callbacks.progress = [&](const Progress& p) {
      if (p.stage == stage) callbacks.cancel.cancel();
    };
    bool drawn = false;
    callbacks.picture = [&](Picture&&) { drawn = true; };
    try {
      pipeline.generate(request(3, 4.5), callbacks);
      ADD_FAILURE() << "not stopped in " << stage;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCancelled);
    }
    EXPECT_FALSE(drawn);
  }
}

TEST_F(PipelineTest, AnIncompleteFolderIsOneClearError) {
  for (const char* part : {"transformer", "vae", "scheduler", "tokenizer", "text_encoder"}) {
    fs::remove(folder_ / part);
    try {
      SanaPipeline pipeline = open();
      run(pipeline, request(1, 1.0));
      ADD_FAILURE() << "accepted without " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kModel);
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
    const std::string from = part[0] == 't' && part[1] != 'r' ? std::string("textenc/") + part : std::string("pipeline/model/") + part;
    fs::create_directory_symlink(test::data_path(from), folder_ / part);
  }
}

// Every step of every order of solver, through a file.
TEST_F(PipelineTest, GoesOnFromAnyStepWithTheSameBits) {
  SanaPipeline pipeline = open();
  for (const char* scheduler : {"dpm++", "euler"}) {
    PictureRequest r = request(6, 4.5);
    r.scheduler = scheduler;
    std::vector<DenoiseState> states;
    std::vector<Tensor> previews;
    GenerateCallbacks callbacks;
    callbacks.step = [&](const DenoiseStep& step) {
      states.push_back(step.state());
      previews.push_back(step.data());
      EXPECT_EQ(step.step, static_cast<int>(states.size()));
      EXPECT_EQ(step.steps, 6);
    };
    const SanaPipeline::Text text = pipeline.encode(r, {});
    const Tensor undisturbed = pipeline.denoise(r, text, 0, {});
    EXPECT_TRUE(test::same_bits(pipeline.denoise(r, text, 0, callbacks), undisturbed));
    ASSERT_EQ(states.size(), 6u);
    EXPECT_TRUE(test::same_bits(states.back().latents, undisturbed));
    EXPECT_LE(test::relative_l2(previews.back(), undisturbed), 1e-5);  // the last step's prediction is the result
    EXPECT_GT(test::relative_l2(previews.front(), undisturbed), 1e-3);
    for (size_t i = 0; i + 1 < states.size(); ++i) {
      write_denoise_state(folder_ / "state", states[i], "this picture");
      const DenoiseState back = read_denoise_state(folder_ / "state", "this picture");
      EXPECT_EQ(back.step, states[i].step);
      EXPECT_TRUE(test::same_bits(pipeline.denoise(r, text, 0, {}, &back), undisturbed)) << scheduler << " from step " << back.step;
    }
  }
}

TEST_F(PipelineTest, StatesOfOtherPicturesAreRefused) {
  SanaPipeline pipeline = open();
  PictureRequest r = request(6, 4.5);
  std::optional<DenoiseState> state;
  GenerateCallbacks callbacks;
  callbacks.step = [&](const DenoiseStep& step) {
    if (step.step == 3) state = step.state();
  };
  const SanaPipeline::Text text = pipeline.encode(r, {});
  pipeline.denoise(r, text, 0, callbacks);
  write_denoise_state(folder_ / "state", *state, "this picture");
  EXPECT_THROW(read_denoise_state(folder_ / "state", "another picture"), Error);
  EXPECT_THROW(read_denoise_state(folder_ / "nowhere", "this picture"), Error);
  std::ofstream(folder_ / "state") << "no state";
  EXPECT_THROW(read_denoise_state(folder_ / "state", "this picture"), Error);
  write_safetensors(folder_ / "state", {{"latents", state->latents}},
                    {{"format", "linea.denoise/1"}, {"fingerprint", "this picture"}, {"step", "-1"}});
  EXPECT_THROW(read_denoise_state(folder_ / "state", "this picture"), Error);

  DenoiseState other = *state;
  other.history.pop_back();
  EXPECT_THROW(pipeline.denoise(r, text, 0, {}, &other), Error);
  other = *state;
  other.step = 6;
  EXPECT_THROW(pipeline.denoise(r, text, 0, {}, &other), Error);
  r.size = {64, 64};
  EXPECT_THROW(pipeline.denoise(r, text, 0, {}, &*state), Error);
}

TEST_F(PipelineTest, SiblingsInThreadsMakeTheSamePictures) {
  SanaPipeline pipeline = open();
  PictureRequest r = request(3, 4.5);
  r.count = 3;
  const std::vector<Picture> alone = run(pipeline, r).pictures;
  const SanaPipeline fresh = open();  // nothing loaded: the siblings race to load
  std::vector<std::vector<Picture>> results(3);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < results.size(); ++t) {
    threads.emplace_back([&, t] {
      set_thread_count(1);
      const std::unique_ptr<SanaPipeline> sibling = fresh.sibling();
      results[t] = run(*sibling, r).pictures;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<Picture>& pictures : results) {
    ASSERT_EQ(pictures.size(), 3u);
    for (size_t k = 0; k < 3; ++k) EXPECT_EQ(pictures[k].image, alone[k].image);
  }
}

TEST_F(PipelineTest, ThePlanSaysWhatEachStageTakes) {
  SanaPipeline pipeline = open();
  const MemoryPlan small = pipeline.plan(request(20, 4.5), 0), unguided = pipeline.plan(request(20, 1.0), 0);
  PictureRequest r = request(20, 4.5);
  r.size = {128, 128};
  const MemoryPlan large = pipeline.plan(r, 0);
  EXPECT_GT(small.text.activation_bytes, 0);
  EXPECT_GT(small.transformer.activation_bytes, unguided.transformer.activation_bytes);
  EXPECT_GT(large.transformer.activation_bytes, small.transformer.activation_bytes);
  EXPECT_GT(large.decoder.activation_bytes, small.decoder.activation_bytes);
}

}  // namespace
}  // namespace linea
