// Gemma 2 against transformers. Data: tests/golden/make_textenc_gemma2.py.
#include "textenc/gemma2.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace linea {
namespace {

using test::Golden;
using test::relative_l2;
using test::TestContext;
using testing::AllOf;
using testing::HasSubstr;

std::string folder_of(const std::string& name) { return test::data_path("textenc/gemma2/" + name); }

constexpr Gemma2Layers kEverywhere[] = {Gemma2Layers::kResident, Gemma2Layers::kStreamed, Gemma2Layers::kReloaded};

Gemma2 load(Context& ctx, const std::string& name, Gemma2Layers where = Gemma2Layers::kResident) {
  return Gemma2::load(ctx, Checkpoint::open_folder(folder_of(name), "model"), Gemma2Config::read(folder_of(name) + "/config.json"), where);
}

std::vector<int32_t> ids_of(const Golden& golden) {
  const Tensor ids = golden["ids"];
  return {ids.data<int32_t>(), ids.data<int32_t>() + ids.elements()};
}

Tensor rows_for(const Context& ctx, const Gemma2& model, size_t tokens) {
  return Tensor({static_cast<int64_t>(tokens), model.config().hidden_size}, ctx.dtype, test::test_device());
}

class Gemma2Golden : public testing::TestWithParam<const char*> {
 protected:
  Golden golden_{std::string("textenc/gemma2/") + GetParam() + "/golden.safetensors"};
};

TEST_P(Gemma2Golden, Float32MatchesLayerByLayer) {
  TestContext ctx;
  const Gemma2 model = load(*ctx, GetParam());
  std::map<std::string, double> errors;
  ctx->tap = [&](const std::string& name, const Tensor& value) { errors[name] = relative_l2(value.to(kCpuDevice), golden_[name]); };
  const std::vector<int32_t> ids = ids_of(golden_);
  const Tensor y = rows_for(*ctx, model, ids.size());
  model.forward(*ctx, ids, y);
  EXPECT_EQ(errors.size(), static_cast<size_t>(model.config().layers) + 2);
  for (const auto& [name, error] : errors) EXPECT_LE(error, 1e-5) << name;
  EXPECT_LE(relative_l2(y.to(kCpuDevice), golden_["norm"]), 1e-5);
}

TEST_P(Gemma2Golden, SoftcapCanBeLeftOut) {
  TestContext ctx;
  Gemma2 model = load(*ctx, GetParam());
  model.set_softcap(false);
  const std::vector<int32_t> ids = ids_of(golden_);
  const Tensor y = rows_for(*ctx, model, ids.size());
  model.forward(*ctx, ids, y);
  EXPECT_LE(relative_l2(y.to(kCpuDevice), golden_["norm.no_softcap"]), 1e-5);
  model.set_softcap(true);
  model.forward(*ctx, ids, y);
  EXPECT_LE(relative_l2(y.to(kCpuDevice), golden_["norm"]), 1e-5);
}

TEST_P(Gemma2Golden, BFloat16StaysCloseToFloat32) {
  TestContext ctx(DType::kBF16);
  const Gemma2 model = load(*ctx, GetParam());
  const std::vector<int32_t> ids = ids_of(golden_);
  const Tensor y = rows_for(*ctx, model, ids.size());
  model.forward(*ctx, ids, y);
  EXPECT_LE(relative_l2(y.to(kCpuDevice), golden_["norm"]), 1e-2);
}

// The plan is what the run takes, and a causal model's early rows do not depend on later tokens.
TEST_P(Gemma2Golden, PlanIsExactAndRowsAreCausal) {
  TestContext ctx;
  const Gemma2 model = load(*ctx, GetParam());
  const std::vector<int32_t> ids = ids_of(golden_);

  Arena plan = Arena::planning(test::test_device());
  Context planner = *ctx;
  planner.arena = &plan;
  const Tensor y = rows_for(*ctx, model, ids.size());
  model.forward(planner, ids, y);
  Arena arena(test::test_device(), plan.peak());
  Context runner = *ctx;
  runner.arena = &arena;
  model.forward(runner, ids, y);
  EXPECT_EQ(arena.peak(), plan.peak());
  EXPECT_EQ(arena.used(), 0);

  const size_t part = (ids.size() + 1) / 2;
  const Tensor z = rows_for(*ctx, model, part);
  model.forward(runner, std::span(ids).first(part), z);
  EXPECT_LE(relative_l2(z.to(kCpuDevice), y.to(kCpuDevice).slice(0, 0, static_cast<int64_t>(part))), 1e-6);
}

// Wherever the layers lie; and the plan counts what a pass has of them on the device.
TEST_P(Gemma2Golden, LayersFromElsewhereHaveTheBitsOfResidentOnes) {
  const std::vector<int32_t> ids = ids_of(golden_);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Tensor expected;
    for (const Gemma2Layers where : kEverywhere) {
      TestContext ctx(dtype);
      const Gemma2 model = load(*ctx, GetParam(), where);
      EXPECT_EQ(model.streamed_bytes() > 0, where == Gemma2Layers::kStreamed);
      const Tensor y = rows_for(*ctx, model, ids.size());
      Arena plan = Arena::planning(test::test_device());
      Context planner = *ctx;
      planner.arena = &plan;
      model.forward(planner, ids, y);
      Arena arena(test::test_device(), plan.peak());
      Context runner = *ctx;
      runner.arena = &arena;
      for (int pass = 0; pass < 3; ++pass) {
        model.forward(runner, ids, y);
        const Tensor found = y.to(kCpuDevice);
        if (!expected.defined()) {
          expected = Tensor(found.shape(), found.dtype());
          std::memcpy(expected.raw(), found.raw(), static_cast<size_t>(found.bytes()));
        }
        EXPECT_TRUE(test::same_bits(found, expected)) << name_of(dtype) << ", pass " << pass;
      }
      EXPECT_EQ(arena.peak(), plan.peak());
      const Tensor together(y.shape(), dtype, test::test_device()),
          first({std::min<int64_t>(y.dim(0), 2), y.dim(1)}, dtype, test::test_device());
      const Gemma2::Text texts[] = {{std::span(ids).first(static_cast<size_t>(first.dim(0))), first}, {ids, together}};
      model.forward(*ctx, texts);
      EXPECT_TRUE(test::same_bits(together.to(kCpuDevice), expected)) << name_of(dtype);
      const Tensor short_alone(first.shape(), dtype, test::test_device());
      model.forward(*ctx, texts[0].ids, short_alone);  // in company as alone
      EXPECT_TRUE(test::same_bits(first.to(kCpuDevice), short_alone.to(kCpuDevice))) << name_of(dtype);
      EXPECT_GE(arena.peak(), 2 * model.streamed_bytes() / model.config().layers);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Gemma2Golden, testing::Values("one_layer", "gqa2_window", "gqa4_float32", "odd", "wide", "one_token"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(Gemma2, WeightsOfTheRightTypeAreViewsOfTheFile) {
  TestContext ctx(DType::kBF16);
  const Checkpoint checkpoint = Checkpoint::open_folder(folder_of("odd"), "model");
  const Tensor a = checkpoint.load("embed_tokens.weight", {97, 26}, DType::kBF16);
  EXPECT_EQ(a.raw(), checkpoint.load("embed_tokens.weight", {97, 26}, DType::kBF16).raw());
}

TEST(Gemma2, RefusesTokensItDoesNotHave) {
  TestContext ctx;
  const Gemma2 model = load(*ctx, "one_layer");
  const Tensor y = rows_for(*ctx, model, 2);
  for (const int32_t id : {-1, 97, 100000}) {
    try {
      model.forward(*ctx, std::vector<int32_t>{5, id}, y);
      FAIL() << id;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kModel);
      EXPECT_THAT(error.what(), AllOf(HasSubstr("token id " + std::to_string(id)), HasSubstr("vocabulary of 97")));
    }
  }
  const std::vector<int32_t> many(129, 1);
  EXPECT_THROW(model.forward(*ctx, many, rows_for(*ctx, model, many.size())), Error);
}

TEST(Gemma2, StopsWhenCancelled) {
  TestContext ctx;
  const Gemma2 model = load(*ctx, "one_layer");
  ctx->cancel.cancel();
  EXPECT_THROW(model.forward(*ctx, std::vector<int32_t>{5}, rows_for(*ctx, model, 1)), Error);
}

std::string load_error(const std::string& weights, const Json& patch, Gemma2Layers where) {
  TestContext ctx;
  Json json = read_json_file(folder_of("one_layer") + "/config.json");
  json.merge_patch(patch);
  try {
    Gemma2::load(*ctx, Checkpoint::open_folder(folder_of(weights), "model"), Gemma2Config::parse(json, "the/config.json"), where);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kModel) << error.what();
    return error.what();
  }
  return "no error";
}

class Gemma2Loading : public testing::TestWithParam<Gemma2Layers> {};
INSTANTIATE_TEST_SUITE_P(Everywhere, Gemma2Loading, testing::ValuesIn(kEverywhere));

TEST_P(Gemma2Loading, RefusesWeightsThatDoNotFitTheConfig) {
  const auto load_error = [](const std::string& weights, const Json& patch) { return linea::load_error(weights, patch, GetParam()); };
  EXPECT_EQ(load_error("one_layer", Json::object()), "no error");
  EXPECT_THAT(load_error("one_layer", {{"hidden_size", 32}}), AllOf(HasSubstr("embed_tokens.weight"), HasSubstr("model.safetensors")));
  EXPECT_THAT(load_error("one_layer", {{"intermediate_size", 41}}), HasSubstr("layers.0.mlp.gate_proj.weight"));
  EXPECT_THAT(load_error("one_layer", {{"num_key_value_heads", 2}}), HasSubstr("layers.0.self_attn.k_proj.weight"));
  EXPECT_THAT(load_error("one_layer", {{"num_hidden_layers", 2}, {"layer_types", nullptr}}), HasSubstr("layers.1."));
  EXPECT_THAT(load_error("wide", Json::object()), HasSubstr("embed_tokens.weight"));
  // Fewer layers than the file has: what nobody loads is named, too.
  Json patch = read_json_file(folder_of("gqa4_float32") + "/config.json");
  patch["num_hidden_layers"] = 1;
  patch["layer_types"] = Json::array({"full_attention"});
  EXPECT_THAT(load_error("gqa4_float32", patch), HasSubstr("layers.1."));
}

Gemma2Config parse(const Json& json) { return Gemma2Config::parse(json, "config.json"); }

TEST(Gemma2ConfigTest, OldAndNewFilesMeanTheSame) {
  const Gemma2Config old_file = parse({{"model_type", "gemma2"}, {"rope_theta", 500.0}, {"num_hidden_layers", 3}, {"sliding_window", 7}});
  const Gemma2Config new_file = parse({{"model_type", "gemma2"},
                                       {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 500.0}}},
                                       {"num_hidden_layers", 3},
                                       {"sliding_window", 7},
                                       {"layer_types", {"sliding_attention", "full_attention", "sliding_attention"}}});
  for (const Gemma2Config& c : {old_file, new_file}) {
    EXPECT_EQ(c.rope_theta, 500.0f);
    EXPECT_EQ(c.windows, (std::vector<int64_t>{7, 0, 7}));
    EXPECT_EQ(c.softcap, 50.0f);
    EXPECT_EQ(c.hidden_size, 2304);
  }
  EXPECT_EQ(parse({{"attn_logit_softcapping", nullptr}}).softcap, 0.0f);
  EXPECT_EQ(parse({{"sliding_window", nullptr}}).windows, std::vector<int64_t>(26, 0));
}

TEST(Gemma2ConfigTest, NamesWhatIsWrong) {
  const std::vector<std::pair<Json, std::string>> cases = {
      {{{"model_type", "llama"}}, "model_type"},
      {{{"architectures", {"LlamaModel"}}}, "architectures"},
      {{{"hidden_size", 0}}, "hidden_size"},
      {{{"hidden_size", "big"}}, "hidden_size"},
      {{{"num_key_value_heads", 3}}, "num_key_value_heads"},
      {{{"head_dim", 7}}, "head_dim"},
      {{{"attention_bias", true}}, "attention_bias"},
      {{{"use_bidirectional_attention", true}}, "use_bidirectional_attention"},
      {{{"query_pre_attn_scalar", -1}}, "query_pre_attn_scalar"},
      {{{"attn_logit_softcapping", 0}}, "attn_logit_softcapping"},
      {{{"hidden_activation", "gelu"}}, "hidden_activation"},
      {{{"rope_parameters", {{"rope_type", "yarn"}}}}, "rope_type"},
      {{{"rope_scaling", {{"type", "linear"}}}}, "rope_type"},
      {{{"layer_types", {"full_attention"}}}, "layer_types"},
      {{{"num_hidden_layers", 1}, {"layer_types", {"chunked_attention"}}}, "layer_types"},
  };
  for (const auto& [json, key] : cases) {
    try {
      parse(json);
      ADD_FAILURE() << json;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kModel);
      EXPECT_THAT(error.what(), AllOf(HasSubstr("config.json"), HasSubstr(key)));
    }
  }
}

}  // namespace
}  // namespace linea
