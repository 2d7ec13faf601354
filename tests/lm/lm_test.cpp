// Recurrent language models against their references. Data: tests/golden/make_lm_rwkv.py and make_lm_mamba.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "lm/load.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

using test::Golden;
using test::relative_l2;
using test::same_bits;
using test::test_device;
using test::TestContext;

std::unique_ptr<LanguageModel> load(Context& ctx, const std::string& name) {
  const std::string folder = test::data_path("lm/" + name);
  return load_language_model(ctx, Checkpoint::open_folder(folder, "model"), folder + "/config.json");
}

Tensor on_host(const State& state, int64_t layer, size_t part) { return state.layer(layer)[part].to(kCpuDevice); }

class LanguageModelGolden : public testing::TestWithParam<const char*> {
 protected:
  LanguageModelGolden() {
    const Tensor ids = golden_["ids"];
    ids_.assign(ids.data<int32_t>(), ids.data<int32_t>() + ids.elements());
  }
  Tensor no_logits(int64_t rows) const { return Tensor({rows, golden_["logits"].dim(1)}, DType::kF32, test_device()); }
  int64_t tokens() const { return static_cast<int64_t>(ids_.size()); }

  // The logits of all tokens, fed in pieces of the given sizes, again and again until none is left.
  Tensor run(Context& ctx, const LanguageModel& model, const std::vector<int64_t>& sizes, State& state) const {
    const Tensor logits = no_logits(tokens());
    size_t piece = 0;
    for (int64_t begin = 0; begin < tokens(); ++piece) {
      const int64_t count = std::min(sizes[piece % sizes.size()], tokens() - begin);
      const auto part = std::span(ids_).subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
      model.prefill(ctx, part, state, logits.slice(0, begin, count));
      begin += count;
    }
    return logits.to(kCpuDevice);
  }

  Golden golden_{std::string("lm/") + GetParam() + "/golden.safetensors"};
  std::vector<int32_t> ids_;
};

TEST_P(LanguageModelGolden, LogitsEqualTheReferenceForAnySplit) {
  TestContext ctx;
  const auto model = load(*ctx, GetParam());
  EXPECT_EQ(model->vocabulary_size(), golden_["logits"].dim(1));
  State whole_state = model->initial_state(*ctx);
  const Tensor whole = run(*ctx, *model, {tokens()}, whole_state);
  const double error = relative_l2(whole, golden_["logits"]);
  EXPECT_LE(error, 1e-4);
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{1}, {64}, {2, 1, 3}, {100, 1, 17}, {300, 1, 1, 5}}) {
    State state = model->initial_state(*ctx);
    const Tensor split = run(*ctx, *model, sizes, state);
    EXPECT_LE(relative_l2(split, golden_["logits"]), 1e-4) << sizes[0];
    EXPECT_LE(relative_l2(split, whole), 1e-5) << sizes[0];
    for (int64_t layer = 0; layer < state.layers(); ++layer) {
      for (size_t part = 0; part < state.layer(layer).size(); ++part) {
        EXPECT_LE(relative_l2(on_host(state, layer, part), on_host(whole_state, layer, part)), 1e-5) << layer << " " << part;
      }
    }
  }
}

// Below the number of rows where another matrix product takes over, every token is computed the same way: on the CPU to the last bit where
// the widths are whole vectors. Other devices choose products by the number of rows.
TEST_P(LanguageModelGolden, SmallPiecesGiveEqualResults) {
  TestContext ctx;
  const auto model = load(*ctx, GetParam());
  State one = model->initial_state(*ctx), some = model->initial_state(*ctx);
  const Tensor steps = run(*ctx, *model, {1}, one), pieces = run(*ctx, *model, {7, 3, 16, 1}, some);
  EXPECT_LE(relative_l2(pieces, steps), test_device().is_cpu() ? 1e-6 : 1e-5);
  if (test_device().is_cpu() && GetParam() == std::string("mamba2")) {
    EXPECT_TRUE(same_bits(pieces, steps));
    EXPECT_TRUE(one == some);
  }
}

TEST_P(LanguageModelGolden, LastLogitsAreTheLastRow) {
  TestContext ctx;
  const auto model = load(*ctx, GetParam());
  State a = model->initial_state(*ctx), b = model->initial_state(*ctx);
  const Tensor all = run(*ctx, *model, {tokens()}, a), last = no_logits(1);
  model->prefill(*ctx, ids_, b, last);
  EXPECT_LE(relative_l2(last.to(kCpuDevice), all.slice(0, tokens() - 1, 1)), 1e-5);
  EXPECT_TRUE(a == b);
}

TEST_P(LanguageModelGolden, BFloat16StaysCloseToFloat32) {
  TestContext ctx(DType::kBF16);
  const auto model = load(*ctx, GetParam());
  State state = model->initial_state(*ctx);
  const double error = relative_l2(run(*ctx, *model, {128}, state), golden_["logits"]);
  EXPECT_LE(error, test_device().is_cpu() ? 1e-2 : 2e-2);  // CUDA rounds more of what lies between two products
}

TEST_P(LanguageModelGolden, CopiedStatesContinueAlike) {
  TestContext ctx;
  const auto model = load(*ctx, GetParam());
  State state = model->initial_state(*ctx);
  const Tensor first = no_logits(1), second = no_logits(1);
  model->prefill(*ctx, std::span(ids_).first(50), state, first);
  State copy = state;
  EXPECT_TRUE(copy == state);
  EXPECT_EQ(copy.bytes(), state.bytes());
  model->step(*ctx, ids_[50], state, first);
  EXPECT_FALSE(copy == state);
  model->step(*ctx, ids_[50], copy, second);
  EXPECT_TRUE(same_bits(first.to(kCpuDevice), second.to(kCpuDevice)));
  EXPECT_TRUE(copy == state);
}

TEST_P(LanguageModelGolden, PlanIsExact) {
  TestContext ctx;
  const auto model = load(*ctx, GetParam());
  State state = model->initial_state(*ctx);
  const State before = state;
  Arena plan = Arena::planning(test_device());
  Context planner = *ctx;
  planner.arena = &plan;
  model->prefill(planner, ids_, state, no_logits(tokens()));
  EXPECT_TRUE(state == before);
  Arena arena(test_device(), plan.peak());
  Context runner = *ctx;
  runner.arena = &arena;
  model->prefill(runner, ids_, state, no_logits(tokens()));
  EXPECT_EQ(arena.peak(), plan.peak());
  EXPECT_EQ(arena.used(), 0);
}

TEST_P(LanguageModelGolden, RefusesTokensItDoesNotHave) {
  TestContext ctx;
  const auto model = load(*ctx, GetParam());
  State state = model->initial_state(*ctx);
  const Tensor logits = no_logits(1);
  for (const int32_t id : {-1, 61}) EXPECT_THROW(model->step(*ctx, id, state, logits), Error) << id;
}

INSTANTIATE_TEST_SUITE_P(Models, LanguageModelGolden,
                         testing::Values("rwkv7", "rwkv6", "rwkv5.2", "rwkv5.1", "rwkv5.0", "rwkv4", "mamba1", "mamba2", "mamba2_groups"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace linea
