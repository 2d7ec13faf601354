// Checkpoints and configurations of recurrent language models that must be refused, and naming that must be accepted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/json.h"
#include "core/safetensors.h"
#include "lm/load.h"
#include "lm/mamba1.h"
#include "lm/mamba2.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace linea {
namespace {

using testing::HasSubstr;

using Tensors = std::map<std::string, Tensor>;

Tensors tensors_of(const std::string& name) { return SafetensorsFile(test::data_path("lm/" + name + "/model.safetensors")).tensors(); }

// A model of changed tensors with the configuration of `name` or another, loaded and run on a few tokens.
Tensor run(const Tensors& tensors, const std::string& name, const Json* config = nullptr) {
  const test::TemporaryFolder folder;
  write_safetensors(folder.path() / "model.safetensors", {tensors.begin(), tensors.end()});
  if (config) folder.write("config.json", config->dump());
  std::filesystem::path file = test::data_path("lm/" + name + "/config.json");
  if (config) file = folder.path() / "config.json";
  test::TestContext ctx;
  const auto model = load_language_model(*ctx, Checkpoint::open_folder(folder.path(), "model"), file);
  const Tensor logits({1, model->vocabulary_size()}, DType::kF32, test::test_device());
  State state = model->initial_state(*ctx);
  model->prefill(*ctx, std::vector<int32_t>{5, 17, 60, 3}, state, logits);
  return logits.to(kCpuDevice);
}

std::string error_of(const Tensors& tensors, const std::string& name) {
  try {
    run(tensors, name);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kModel) << error.what();
    return error.what();
  }
  return "no error";
}

class LoadLanguageModel : public testing::TestWithParam<const char*> {};

// Every tensor is needed, with its shape, and none may be left over.
TEST_P(LoadLanguageModel, NamesWhatDoesNotFit) {
  const Tensors tensors = tensors_of(GetParam());
  EXPECT_EQ(error_of(tensors, GetParam()), "no error");
  Tensors changed = tensors;
  changed["surprise.weight"] = Tensor({2}, DType::kF32);
  EXPECT_THAT(error_of(changed, GetParam()), HasSubstr("surprise.weight"));
  for (const auto& [name, tensor] : tensors) {
    for (const Shape& shape : {Shape{3, 1, 7}, Shape{0}, Shape{1}}) {
      if (tensor.shape() == shape) continue;
      changed = tensors;
      changed[name] = Tensor(shape, DType::kF32);
      EXPECT_NE(error_of(changed, GetParam()), "no error") << name << " " << shape.to_string();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, LoadLanguageModel, testing::Values("rwkv7", "rwkv6", "rwkv5.2", "rwkv4", "mamba1", "mamba2"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

TEST(LoadLanguageModel, AcceptsTheAuthorsNamesOfMamba) {
  const Json mamba1 = {{"d_model", 28}, {"n_layer", 3}}, mamba2 = {{"d_model", 32}, {"n_layer", 3}, {"ssm_cfg", {{"layer", "Mamba2"}}}};
  for (const std::string name : {"mamba1", "mamba2"}) {
    Tensors tensors = tensors_of(name);
    const Tensor expected = run(tensors, name);
    tensors["backbone.embedding.weight"] = tensors.at("backbone.embeddings.weight");
    tensors.erase("backbone.embeddings.weight");
    tensors["lm_head.weight"] = tensors["backbone.embedding.weight"];
    EXPECT_TRUE(test::same_bits(run(tensors, name, name == "mamba1" ? &mamba1 : &mamba2), expected)) << name;
  }
}

TEST(LoadLanguageModel, ValuesOfTheFirstBlockOfRwkv7MeanNothing) {
  Tensors tensors = tensors_of("rwkv7");
  const Tensor expected = run(tensors, "rwkv7");
  for (const std::string name : {"v0", "v1", "v2"}) tensors["blocks.0.att." + name] = tensors.at("blocks.1.att." + name);
  EXPECT_TRUE(test::same_bits(run(tensors, "rwkv7"), expected));
}

TEST(LoadLanguageModel, RefusesWhatIsNoLanguageModel) {
  EXPECT_THAT(error_of({{"weight", Tensor({2}, DType::kF32)}}, "mamba2"), HasSubstr("not a recurrent language model"));
}

TEST(MambaConfig, NamesWhatIsUnsupported) {
  const std::vector<std::pair<Json, std::string>> mamba2 = {
      {{{"model_type", "llama"}}, "model_type"},
      {Json::object(), "n_groups"},
      {{{"n_groups", 0}}, "n_groups"},
      {{{"n_groups", 1}, {"hidden_act", "gelu"}}, "hidden_act"},
      {{{"n_groups", 1}, {"time_step_limit", {0.0, 1.0}}}, "time_step_limit"},
      {{{"n_groups", 1}, {"time_step_limit", 3}}, "time_step_limit"},
      {{{"d_model", 8}}, "layer"},
      {{{"d_model", 8}, {"ssm_cfg", {{"layer", "Mamba2"}, {"norm_before_gate", true}}}}, "norm_before_gate"},
      {{{"d_model", 8}, {"ssm_cfg", {{"layer", "Mamba2"}, {"rmsnorm", false}}}}, "rmsnorm"},
      {{{"d_model", 8}, {"ssm_cfg", {{"layer", "Mamba2"}}}, {"d_intermediate", 4}}, "d_intermediate"},
      {{{"d_model", 8}, {"ssm_cfg", {{"layer", "Mamba2"}}}, {"attn_layer_idx", {1}}}, "attn_layer_idx"}};
  for (const auto& [json, key] : mamba2) {
    try {
      Mamba2Config::parse(json, "config.json");
      ADD_FAILURE() << json;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("config.json"), HasSubstr(key)));
    }
  }
  for (const Json& json : std::vector<Json>{{{"model_type", "falcon_mamba"}},
                                            {{"d_model", 8}, {"ssm_cfg", {{"layer", "Mamba3"}}}},
                                            {{"d_model", 8}, {"rms_norm", false}},
                                            {{"hidden_act", "relu"}}}) {
    EXPECT_THROW(Mamba1::read_eps(json, "config.json"), Error) << json;
  }
}

}  // namespace
}  // namespace linea
