// The sampler against transformers' processors and the authors' package. Data: tests/golden/make_lm_sampler.py.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "lm/sampling/sampler.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

using test::Golden;

const std::vector<int32_t> kSeen = {3, 5, 5, 100, 500, 3, 42};

// Draws so often that every token that is kept, and no other, should come, with its frequency.
class SamplerGolden : public testing::Test {
 protected:
  std::span<const float> row(int64_t index) const {
    const Tensor logits = golden_["logits"];
    return {logits.data<float>() + index * logits.dim(1), static_cast<size_t>(logits.dim(1))};
  }

  void expect_distribution(const std::string& name, SamplingOptions options, bool prompt, bool answer) {
    constexpr int kDraws = 1500;
    const Tensor expected = golden_[name];
    for (int64_t r = 0; r < expected.dim(0); ++r) {
      options.seed = static_cast<uint64_t>(r);
      Sampler sampler(options);
      if (prompt) sampler.observe(kSeen);
      if (answer) {
        for (const int32_t id : kSeen) sampler.accept(id);
      }
      std::vector<int> counts(static_cast<size_t>(expected.dim(1)));
      for (int i = 0; i < kDraws; ++i) ++counts[static_cast<size_t>(sampler.sample(row(r)))];
      double excess = 0;
      for (int64_t id = 0; id < expected.dim(1); ++id) {
        const double p = expected.data<double>()[r * expected.dim(1) + id],
                     seen = static_cast<double>(counts[static_cast<size_t>(id)]) / kDraws;
        if (p == 0) {
          EXPECT_EQ(seen, 0) << name << " row " << r << " drew " << id;
        } else {
          const double deviation = std::sqrt(p * (1 - p) / kDraws);
          EXPECT_LE(std::abs(seen - p), 6 * deviation + 4e-3) << name << " row " << r << " token " << id;
        }
        excess += std::abs(seen - p);
      }
      EXPECT_LE(excess, 0.5) << name << " row " << r;
    }
  }

  Golden golden_{"lm/sampler.safetensors"};
};

TEST_F(SamplerGolden, SingleFilters) {
  expect_distribution("temperature", {.temperature = 0.6}, false, false);
  expect_distribution("top_k", {.top_k = 13}, false, false);
  expect_distribution("top_p", {.top_p = 0.8}, false, false);
  expect_distribution("min_p", {.min_p = 0.05}, false, false);
  expect_distribution("typical", {.typical = 0.7}, false, false);
  expect_distribution("repetition", {.repetition = 1.3}, true, false);
}

TEST_F(SamplerGolden, OrdersOfTheReferences) {
  expect_distribution("transformers",
                      {.order = SamplerOrder::kTransformers,
                       .temperature = 1.4,
                       .top_k = 50,
                       .top_p = 0.9,
                       .typical = 0.95,
                       .min_p = 0.02,
                       .repetition = 1.2},
                      true, false);
  expect_distribution("rwkv", {.top_p = 0.85}, false, false);
  expect_distribution("rwkv_hot", {.temperature = 2, .top_p = 0.5}, false, false);
  expect_distribution("rwkv_cold", {.temperature = 0.3, .top_k = 7, .top_p = 0.3}, false, false);
  expect_distribution("rwkv_greedy", {.top_p = 0}, false, false);
  expect_distribution("rwkv_penalties", {.top_p = 0.7, .presence = 0.4, .frequency = 0.3, .penalty_decay = 0.996}, false, true);
}

// The kept sets themselves, exactly.
TEST_F(SamplerGolden, FiltersKeepExactlyTheSameTokens) {
  const auto kept = [&](int64_t r, const auto& filter) {
    Candidates candidates;
    for (size_t id = 0; id < row(r).size(); ++id) candidates.push_back({row(r)[id], static_cast<int32_t>(id)});
    filter(candidates);
    return candidates;
  };
  const auto check = [&](const std::string& name, const auto& filter) {
    const Tensor expected = golden_[name];
    for (int64_t r = 0; r < expected.dim(0); ++r) {
      const Candidates candidates = kept(r, filter);
      const std::vector<double> p = probabilities(candidates);
      size_t next = 0;
      for (int64_t id = 0; id < expected.dim(1); ++id) {
        const double value = expected.data<double>()[r * expected.dim(1) + id];
        if (value == 0) continue;
        ASSERT_LT(next, candidates.size()) << name << " row " << r;
        EXPECT_EQ(candidates[next].id, id) << name << " row " << r;
        EXPECT_NEAR(p[next], value, 1e-5 * value + 1e-9) << name << " row " << r;
        ++next;
      }
      EXPECT_EQ(next, candidates.size()) << name << " row " << r;
    }
  };
  check("top_k", [](Candidates& c) { keep_top_k(c, 13); });
  check("top_p", [](Candidates& c) { keep_top_p(c, 0.8); });
  check("min_p", [](Candidates& c) { keep_min_p(c, 0.05); });
  check("typical", [](Candidates& c) { keep_typical(c, 0.7); });
  check("mirostat", [](Candidates& c) { keep_below_surprise(c, 6); });
  check("rwkv_hot", [](Candidates& c) {
    keep_top_p(c, 0.5);
    scale_by_temperature(c, 2);
  });
  check("rwkv_cold", [](Candidates& c) {
    keep_top_p(c, 0.3);
    keep_top_k(c, 7);
    scale_by_temperature(c, 0.3);
  });
}

std::vector<float> random_logits(unsigned seed, size_t size = 500) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(size);
  for (float& value : logits) value = normal(engine);
  return logits;
}

TEST(Sampler, SameSeedSameDraws) {
  const std::vector<float> logits = random_logits(1);
  Sampler a({.seed = 9}), b({.seed = 9}), c({.seed = 10});
  bool differs = false;
  for (int i = 0; i < 50; ++i) {
    const int32_t id = a.sample(logits);
    EXPECT_EQ(b.sample(logits), id);
    differs |= c.sample(logits) != id;
  }
  EXPECT_TRUE(differs);
}

TEST(Sampler, GreedyTakesTheSmallestOfEquals) {
  Sampler sampler({.temperature = 0});
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 2, 3, 3}), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{NAN, 3, 2, NAN, 4}), 4);
}

TEST(Sampler, DrawsOnlyWhatIsAllowed) {
  TokenMask allowed(500);
  for (const int32_t id : {7, 63, 64, 499}) allowed.add(id);
  Sampler sampler({.temperature = 5});
  TokenMask seen(500);
  for (int i = 0; i < 2000; ++i) seen.add(sampler.sample(random_logits(static_cast<unsigned>(i % 7)), &allowed));
  EXPECT_TRUE(seen == allowed);
  EXPECT_THROW(sampler.sample(random_logits(0), std::make_unique<TokenMask>(500).get()), Error);
}

TEST(Sampler, BiasForcesAndBans) {
  const std::vector<float> logits = random_logits(2);
  Sampler forced({.logit_bias = {{17, 1000.0f}}});
  EXPECT_EQ(forced.sample(logits), 17);
  const auto best = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  Sampler banned({.temperature = 0, .logit_bias = {{best, -std::numeric_limits<float>::infinity()}, {100000, 1.0f}}});
  EXPECT_NE(banned.sample(logits), best);
}

// Three equal tokens count 1, 1.996, 2.988 with RWKV's decay.
TEST(Sampler, CountsDecayBeforeATokenIsCounted) {
  std::vector<float> logits(2, 0.0f);
  const std::vector<double> counts = {1, 1.996, 2.988016};
  for (size_t n = 1; n <= 3; ++n) {
    for (const double offset : {-1e-4, 1e-4}) {
      Sampler sampler({.temperature = 0, .presence = 0.5, .frequency = 2, .penalty_decay = 0.996});
      for (size_t i = 0; i < n; ++i) sampler.accept(0);
      logits[0] = static_cast<float>(0.5 + 2 * counts[n - 1] + offset);
      EXPECT_EQ(sampler.sample(logits), offset > 0 ? 0 : 1) << n;
    }
  }
}

TEST(Sampler, MirostatHoldsTheSurprise) {
  for (const double tau : {2.0, 4.0}) {
    Sampler sampler({.mirostat_tau = tau});
    double surprise = 0;
    constexpr int kTokens = 1500;
    for (int i = 0; i < kTokens; ++i) {
      const std::vector<float> logits = random_logits(static_cast<unsigned>(i), 500);
      const auto chosen = static_cast<size_t>(sampler.sample(logits));
      double sum = 0;
      for (const float value : logits) sum += std::exp(static_cast<double>(value - logits[chosen]));
      if (i >= 300) surprise += std::log2(sum);
    }
    EXPECT_NEAR(surprise / (kTokens - 300), tau, 1.6) << tau;  // truncation makes what is drawn likelier than the model says
  }
}

TEST(Sampler, RefusesValuesOutOfRange) {
  for (const SamplingOptions& options :
       {SamplingOptions{.temperature = -1}, SamplingOptions{.temperature = NAN}, SamplingOptions{.top_k = -1},
        SamplingOptions{.top_p = 1.1}, SamplingOptions{.min_p = -0.1}, SamplingOptions{.repetition = 0},
        SamplingOptions{.penalty_decay = 2}, SamplingOptions{.logit_bias = {{-1, 0.0f}}}}) {
    EXPECT_THROW(Sampler{options}, Error);
  }
  EXPECT_THROW(parse_sampler_order("rwvk"), Error);
  EXPECT_EQ(parse_sampler_order("llama"), SamplerOrder::kLlama);
}

}  // namespace
}  // namespace linea
