// Schedulers against diffusers for 1 to 50 steps (tests/golden/make_schedulers.py).
#include "dit/schedulers/scheduler.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

Json golden_configs() { return parse_json(SafetensorsFile(test::data_path("schedulers.safetensors")).metadata().at("configs"), "golden"); }

class SchedulerGolden : public testing::TestWithParam<const char*> {};

TEST_P(SchedulerGolden, EqualsTheReferenceForOneToFiftySteps) {
  const std::string name = GetParam();
  const test::Golden golden("schedulers.safetensors");
  Json json = golden_configs().at(name);
  json["lambda_min_clipped"] = 0;  // written as a bare -Infinity in files; unused here
  const Config config(json, name);
  // The last step of "sigma_min" extrapolates, which enlarges the rounding of both sides.
  const double bound = name == "dpm_3_sigma_min" ? 2e-6 : 1e-6;
  for (int n = 1; n <= 50; ++n) {
    const std::string key = name + "." + std::to_string(n) + ".";
    const std::unique_ptr<Scheduler> scheduler = make_scheduler(config, {.steps = n});
    const Tensor timesteps = golden[key + "timesteps"], sigmas = golden[key + "sigmas"], states = golden[key + "states"];
    ASSERT_EQ(scheduler->steps(), n);
    for (int i = 0; i < n; ++i) EXPECT_NEAR(scheduler->timesteps()[i], timesteps.data<float>()[i], 1e-4) << key << i;
    for (int i = 0; i <= n; ++i) EXPECT_NEAR(scheduler->sigmas()[i], sigmas.data<float>()[i], 1e-6) << key << i;

    test::TestContext ctx(DType::kF32, 1 << 20);
    const Tensor x = ctx->allocate({8}), velocity = ctx->allocate({8});
    scheduler->allocate_history(*ctx, {8});
    upload(*ctx, {states.data<float>(), 8}, x);
    for (int i = 0; i < n; ++i) {
      const Tensor now = download(*ctx, x);
      std::array<float, 8> direction;
      for (size_t j = 0; j < 8; ++j) direction[j] = std::tanh(now.data<float>()[j]) / 2 + 0.3f + 0.01f * static_cast<float>(i);
      upload(*ctx, direction, velocity);
      scheduler->step(*ctx, i, velocity, x);
      const Tensor want = states.slice(0, i + 1, 1).reshape({8});
      ASSERT_LE(test::relative_l2(download(*ctx, x), want), bound) << key << "step " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryConfig, SchedulerGolden,
                         testing::Values("dpm_3", "dpm_6", "dpm_1", "dpm_2_5_heun", "dpm_3_order1", "dpm_3_order3", "dpm_3_sigma_min",
                                         "euler_3", "euler_6", "euler_1"));

TEST(Scheduler, RefusesWhatItDoesNotImplement) {
  const auto make = [](const Json& changes = Json::object(), SchedulerOptions options = {}) {
    Json json = {{"_class_name", "DPMSolverMultistepScheduler"},
                 {"prediction_type", "flow_prediction"},
                 {"use_flow_sigmas", true},
                 {"flow_shift", 3.0}};
    json.update(changes);
    return make_scheduler(Config(json, "scheduler_config.json"), options);
  };
  EXPECT_EQ(make()->steps(), 20);
  EXPECT_THROW(make({{"_class_name", "DDIMScheduler"}}), Error);
  EXPECT_THROW(make({{"algorithm_type", "sde-dpmsolver++"}}), Error);
  EXPECT_THROW(make({{"prediction_type", "epsilon"}}), Error);
  EXPECT_THROW(make({{"use_karras_sigmas", true}}), Error);
  EXPECT_THROW(make({{"final_sigmas_type", "sigma_min"}, {"beta_schedule", "squaredcos_cap_v2"}}), Error);
  for (const char* key : {"use_dynamic_shifting", "use_karras_sigmas", "invert_sigmas", "stochastic_sampling"}) {
    EXPECT_THROW(make({{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {key, true}}), Error) << key;
  }
  EXPECT_THROW(make({{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"shift_terminal", 0.1}}), Error);
  EXPECT_EQ(make({{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"shift_terminal", nullptr}})->steps(), 20);
  for (const double shift : {0.0, -1.0, 1e300}) {
    EXPECT_THROW(make({{"flow_shift", shift}}), Error) << shift;
    EXPECT_THROW(make({{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"shift", shift}}), Error) << shift;
  }
  EXPECT_THROW(make(Json::object(), {.steps = 0}), Error);
  EXPECT_THROW(make(Json::object(), {.steps = -3}), Error);
  EXPECT_THROW(make(Json::object(), {.name = "ddim"}), Error);
  EXPECT_THROW(make(Json::object(), {.flow_shift = -1.0}), Error);
}

TEST(Scheduler, OptionsOverrideTheFile) {
  const Config config(Json{{"_class_name", "DPMSolverMultistepScheduler"},
                           {"prediction_type", "flow_prediction"},
                           {"use_flow_sigmas", true},
                           {"flow_shift", 3.0}},
                      "scheduler_config.json");
  EXPECT_NEAR(make_scheduler(config, {.steps = 4, .name = "euler"})->timesteps()[1], 1000 * 0.857, 20);
  EXPECT_GT(make_scheduler(config, {.steps = 4, .flow_shift = 6.0})->sigmas()[1], make_scheduler(config, {.steps = 4})->sigmas()[1]);
}

}  // namespace
}  // namespace linea
