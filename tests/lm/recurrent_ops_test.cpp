// The recurrent ops against plain arithmetic in double, and the recurrence against the family's reference.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>

#include "kernels/linear_attention/reference.h"
#include "kernels/ops.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

using test::random_tensor;
using test::relative_l2;
using test::same_bits;

// On the CPU: tests/kernels compares the other devices' ops with these.
struct TestContext : test::TestContext {
  TestContext() : test::TestContext(DType::kF32, int64_t{64} << 20, kCpuDevice) {}
};

struct Family {
  const char* name;
  bool delta, per_channel, before, scaled;
  int64_t groups, heads, dk, dv;
};

class LinearRecurrence : public testing::TestWithParam<Family> {};

reference::Doubles column(const Tensor& t, int64_t head) {
  const Tensor d = test::to_double(t.select(1, head));
  return {d.data<double>(), d.data<double>() + d.elements()};
}

TEST_P(LinearRecurrence, EqualsTheReferenceAndAnySplitGivesEqualBits) {
  const Family f = GetParam();
  constexpr int64_t T = 41;
  TestContext ctx;
  const Tensor q = random_tensor({T, f.groups, f.dk}, 1), k = random_tensor({T, f.groups, f.dk}, 2, DType::kF32, 0.3f);
  const Tensor v = random_tensor({T, f.heads, f.dv}, 3), scale = random_tensor({T, f.heads}, 4), skip = random_tensor({f.heads}, 5);
  const Tensor a = random_tensor({T, f.heads, f.dk}, 6, DType::kF32, 0.3f), b = random_tensor({T, f.heads, f.dk}, 7, DType::kF32, 0.3f);
  const Tensor log_decay = random_tensor({T, f.heads, f.per_channel ? f.dk : 1}, 8);
  for (int64_t i = 0; i < log_decay.elements(); ++i) log_decay.data<float>()[i] = -std::abs(log_decay.data<float>()[i]);
  const Tensor start = random_tensor({f.heads, f.dk, f.dv}, 9);

  const auto run = [&](int64_t piece, const Tensor& state, const Tensor& y) {
    std::copy_n(start.data<float>(), start.elements(), state.data<float>());
    for (int64_t t = 0; t < T; t += piece) {
      const auto part = [&](const Tensor& x) { return x.slice(0, t, std::min(piece, T - t)); };
      RecurrenceArgs args{.log_decay = part(log_decay), .read_before_write = f.before};
      if (f.delta) args.a = part(a), args.b = part(b);
      if (f.scaled) args.value_scale = part(scale), args.skip = skip;
      linear_recurrence(*ctx, part(q), part(k), part(v), args, state, part(y));
    }
  };
  const Tensor state(start.shape(), DType::kF32), y(v.shape(), DType::kF32);
  run(T, state, y);
  for (const int64_t piece : {1, 7, 16}) {
    const Tensor other(start.shape(), DType::kF32), z(v.shape(), DType::kF32);
    run(piece, other, z);
    EXPECT_TRUE(same_bits(z, y)) << piece;
    EXPECT_TRUE(same_bits(other, state)) << piece;
  }

  for (int64_t h = 0; h < f.heads; ++h) {
    const int64_t group = h / (f.heads / f.groups);
    reference::Recurrence r;
    r.tokens = T, r.key_dim = f.dk, r.value_dim = f.dv;
    r.q = column(q, group), r.k = column(k, group), r.v = column(v, h);
    const reference::Doubles value = r.v, decay = column(log_decay, h);
    for (int64_t i = 0; i < T * f.dk; ++i) r.w.push_back(std::exp(decay[static_cast<size_t>(f.per_channel ? i : i / f.dk)]));
    if (f.delta) {
      r.a = column(a, h), r.b = column(b, h);
      for (double& x : r.a) x = -x;
    }
    for (int64_t i = 0; f.scaled && i < T * f.dv; ++i) r.v[static_cast<size_t>(i)] *= scale.data<float>()[i / f.dv * f.heads + h];
    reference::Doubles S(static_cast<size_t>(f.dv * f.dk));
    const auto cell = [&](int64_t i, int64_t j) { return start.data<float>() + (h * f.dk + j) * f.dv + i; };
    for (int64_t i = 0; i < f.dv * f.dk; ++i) S[static_cast<size_t>(i)] = *cell(i / f.dk, i % f.dk);
    // The reference reads after writing: the value before is its own next read with the next token's query, one token at a time.
    Tensor expected({T, f.dv}, DType::kF64);
    for (int64_t t = 0; t < T; ++t) {
      const auto at = [&](const reference::Doubles& x, int64_t size) {
        return reference::Doubles(x.begin() + t * size, x.begin() + (t + 1) * size);
      };
      reference::Recurrence token;
      token.tokens = 1, token.key_dim = f.dk, token.value_dim = f.dv;
      token.q = at(r.q, f.dk), token.k = at(r.k, f.dk);
      token.v = at(r.v, f.dv), token.w = at(r.w, f.dk);
      if (f.delta) token.a = at(r.a, f.dk), token.b = at(r.b, f.dk);
      reference::Recurrence read = token;
      read.w.clear(), read.a.clear(), read.b.clear();
      std::fill(read.v.begin(), read.v.end(), 0.0);
      const reference::Doubles before = reference::recurrent_attention(read, S), after = reference::recurrent_attention(token, S);
      for (int64_t i = 0; i < f.dv; ++i) {
        const double own = f.scaled ? skip.data<float>()[h] * value[static_cast<size_t>(t * f.dv + i)] : 0.0;
        expected.data<double>()[t * f.dv + i] = (f.before ? before : after)[static_cast<size_t>(i)] + own;
      }
    }
    EXPECT_LE(relative_l2(y.select(1, h), expected), 2e-6) << h;
    Tensor final_state({f.dk, f.dv}, DType::kF64);
    for (int64_t i = 0; i < f.dv * f.dk; ++i) final_state.data<double>()[i % f.dk * f.dv + i / f.dk] = S[static_cast<size_t>(i)];
    EXPECT_LE(relative_l2(state.select(0, h), final_state), 2e-6) << h;
  }
}

INSTANTIATE_TEST_SUITE_P(Family, LinearRecurrence,
                         testing::Values(Family{"rwkv7", true, true, false, false, 3, 3, 64, 64},
                                         Family{"rwkv6", false, true, true, false, 2, 2, 16, 16},
                                         Family{"mamba2", false, false, false, true, 2, 4, 128, 64},
                                         Family{"odd", true, true, false, true, 1, 2, 7, 21},
                                         Family{"tiny", true, false, true, false, 1, 1, 1, 1}),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(RecurrentOps, SelectiveScanForAnySplit) {
  constexpr int64_t T = 11, C = 85, N = 5;
  TestContext ctx;
  const Tensor x = random_tensor({T, C}, 1), delta = random_tensor({T, C}, 2), A = random_tensor({N, C}, 3), B = random_tensor({T, N}, 4);
  const Tensor c = random_tensor({T, N}, 5), D = random_tensor({C}, 6), start = random_tensor({N, C}, 7);
  for (int64_t i = 0; i < T * C; ++i) delta.data<float>()[i] = std::abs(delta.data<float>()[i]);
  for (int64_t i = 0; i < N * C; ++i) A.data<float>()[i] = -std::abs(A.data<float>()[i]);
  Tensor h = test::to_double(start), expected({T, C}, DType::kF64);
  for (int64_t t = 0; t < T; ++t) {
    for (int64_t i = 0; i < C; ++i) {
      const double step = delta.data<float>()[t * C + i], input = x.data<float>()[t * C + i];
      double sum = D.data<float>()[i] * input;
      for (int64_t n = 0; n < N; ++n) {
        double& cell = h.data<double>()[n * C + i];
        cell = std::exp(step * A.data<float>()[n * C + i]) * cell + step * input * B.data<float>()[t * N + n];
        sum += cell * c.data<float>()[t * N + n];
      }
      expected.data<double>()[t * C + i] = sum;
    }
  }
  Tensor whole({T, C}, DType::kF32);
  for (const int64_t piece : {int64_t{11}, int64_t{1}, int64_t{4}}) {
    const Tensor state({N, C}, DType::kF32), y({T, C}, DType::kF32);
    std::copy_n(start.data<float>(), start.elements(), state.data<float>());
    for (int64_t t = 0; t < T; t += piece) {
      const auto part = [&](const Tensor& all) { return all.slice(0, t, std::min(piece, T - t)); };
      selective_scan(*ctx, part(x), {.delta = part(delta), .A = A, .B = part(B), .c = part(c), .D = D}, state, part(y));
    }
    EXPECT_LE(relative_l2(y, expected), 1e-6) << piece;
    EXPECT_LE(relative_l2(state, h), 1e-6) << piece;
    if (piece == T) whole = y;
    EXPECT_TRUE(same_bits(y, whole)) << piece;
  }
}

// Keys far apart: the sums must neither overflow nor vanish.
TEST(RecurrentOps, WeightedAverageForAnySplit) {
  constexpr int64_t T = 13, C = 85;
  TestContext ctx;
  const Tensor k = random_tensor({T, C}, 1, DType::kF32, 40.0f), v = random_tensor({T, C}, 2), decay = random_tensor({C}, 3);
  const Tensor u = random_tensor({C}, 4);
  for (int64_t i = 0; i < C; ++i) decay.data<float>()[i] = -std::abs(decay.data<float>()[i]);
  Tensor expected({T, C}, DType::kF64);
  for (int64_t t = 0; t < T; ++t) {
    for (int64_t i = 0; i < C; ++i) {
      const auto at = [&](const Tensor& x, int64_t row) { return static_cast<double>(x.data<float>()[row * C + i]); };
      double values = std::exp(u.data<float>()[i] + at(k, t)) * at(v, t), weights = std::exp(u.data<float>()[i] + at(k, t));
      for (int64_t s = 0; s < t; ++s) {
        const double weight = std::exp(static_cast<double>(t - 1 - s) * decay.data<float>()[i] + at(k, s));
        values += weight * at(v, s), weights += weight;
      }
      expected.data<double>()[t * C + i] = values / weights;
    }
  }
  Tensor whole({T, C}, DType::kF32);
  for (const int64_t piece : {int64_t{13}, int64_t{1}, int64_t{5}}) {
    const Tensor state({3, C}, DType::kF32), y({T, C}, DType::kF32);
    std::fill_n(state.data<float>(), 2 * C, 0.0f);
    std::fill_n(state.data<float>() + 2 * C, C, -1e30f);
    for (int64_t t = 0; t < T; t += piece) {
      const auto part = [&](const Tensor& all) { return all.slice(0, t, std::min(piece, T - t)); };
      weighted_average(*ctx, part(k), part(v), decay, u, state, part(y));
    }
    EXPECT_LE(relative_l2(y, expected), 3e-6) << piece;
    if (piece == T) whole = y;
    EXPECT_TRUE(same_bits(y, whole)) << piece;
  }
}

TEST(RecurrentOps, CausalConvolutionKeepsItsWindow) {
  constexpr int64_t T = 9, C = 21, K = 4;
  TestContext ctx;
  const Tensor x = random_tensor({T, C}, 1), w = random_tensor({K, C}, 2), bias = random_tensor({C}, 3),
               start = random_tensor({K - 1, C}, 4);
  Tensor expected({T, C}, DType::kF64);
  for (int64_t t = 0; t < T; ++t) {
    for (int64_t c = 0; c < C; ++c) {
      double sum = bias.data<float>()[c];
      for (int64_t j = 0; j < K; ++j) {
        const int64_t row = t - K + 1 + j;
        sum += static_cast<double>(w.data<float>()[j * C + c]) *
               (row < 0 ? start.data<float>()[(row + K - 1) * C + c] : x.data<float>()[row * C + c]);
      }
      expected.data<double>()[t * C + c] = sum / (1 + std::exp(-sum));
    }
  }
  for (const int64_t piece : {1, 2, 3, 5, 9}) {
    const Tensor state({K - 1, C}, DType::kF32), y({T, C}, DType::kF32);
    std::copy_n(start.data<float>(), start.elements(), state.data<float>());
    for (int64_t t = 0; t < T; t += piece) {
      const int64_t count = std::min(piece, T - t);
      causal_conv1d(*ctx, x.slice(0, t, count), w, bias, state, y.slice(0, t, count), Activation::kSilu);
    }
    EXPECT_LE(relative_l2(y, expected), 1e-6) << piece;
    EXPECT_TRUE(same_bits(state, x.slice(0, T - K + 1, K - 1))) << piece;
  }
}

TEST(RecurrentOps, FunctionsAreAccurateAlsoFarOut) {
  const std::map<Function, std::function<double(double)>> functions = {
      {Function::kIdentity, [](double x) { return x; }},
      {Function::kExp, [](double x) { return std::exp(x); }},
      {Function::kTanh, [](double x) { return std::tanh(x); }},
      {Function::kSigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
      {Function::kSilu, [](double x) { return x / (1 + std::exp(-x)); }},
      {Function::kSoftplus, [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }},
      {Function::kReluSquared, [](double x) { return x > 0 ? x * x : 0.0; }}};
  TestContext ctx;
  constexpr int64_t kCount = 2001;
  const Tensor x({1, kCount}, DType::kF32), y({1, kCount}, DType::kF32);
  for (int64_t i = 0; i < kCount; ++i) x.data<float>()[i] = 0.04f * static_cast<float>(i - kCount / 2);
  for (const auto& [function, exact] : functions) {
    elementwise(*ctx, x, y, {.function = function});
    for (int64_t i = 0; i < kCount; ++i) {
      const double want = exact(x.data<float>()[i]);
      EXPECT_NEAR(y.data<float>()[i], want, 6e-7 * std::abs(want) + 1e-37) << static_cast<int>(function) << " of " << x.data<float>()[i];
    }
  }
}

TEST(RecurrentOps, ElementwiseAddsScalesAndConverts) {
  TestContext ctx;
  const Tensor x = random_tensor({5, 37}, 1, DType::kBF16), bias = random_tensor({37}, 2), scale = random_tensor({37}, 3);
  const Tensor y = random_tensor({5, 37}, 4);
  Tensor expected({5, 37}, DType::kF64);
  const Tensor input = test::to_double(x);
  for (int64_t i = 0; i < y.elements(); ++i) {
    const double inner = input.data<double>()[i] + bias.data<float>()[i % 37];
    expected.data<double>()[i] = y.data<float>()[i] + scale.data<float>()[i % 37] * std::tanh(inner);
  }
  elementwise(*ctx, x, y, {.function = Function::kTanh, .bias = bias, .scale = scale, .residual = y});
  EXPECT_LE(relative_l2(y, expected), 1e-6);
}

TEST(RecurrentOps, NormsWorkGroupByGroup) {
  TestContext ctx;
  constexpr int64_t kRows = 4, kGroups = 3, kSize = 19, C = kGroups * kSize;
  const Tensor x = random_tensor({kRows, C}, 1), w = random_tensor({C}, 2), bias = random_tensor({C}, 3);
  std::fill_n(x.data<float>(), kSize, 0.0f);  // a group of zeros gives the bias, or zeros
  for (const bool centre : {true, false}) {
    Tensor expected({kRows, C}, DType::kF64), unit({kRows, C}, DType::kF64);
    for (int64_t first = 0; first < x.elements(); first += kSize) {
      double mean = 0, squares = 0, norm = 0;
      for (int64_t i = first; i < first + kSize; ++i) mean += centre ? x.data<float>()[i] / static_cast<double>(kSize) : 0;
      for (int64_t i = first; i < first + kSize; ++i) {
        const double v = x.data<float>()[i], weighted = v * w.data<float>()[i % C];
        squares += (v - mean) * (v - mean) / kSize;
        norm += weighted * weighted;
      }
      for (int64_t i = first; i < first + kSize; ++i) {
        const double v = x.data<float>()[i];
        expected.data<double>()[i] = (v - mean) / std::sqrt(squares + 64e-5) * w.data<float>()[i % C] + bias.data<float>()[i % C];
        unit.data<double>()[i] = v * w.data<float>()[i % C] / std::max(std::sqrt(norm), 1e-12);
      }
    }
    const Tensor y({kRows, C}, DType::kF32);
    group_norm(*ctx, x, w, y, {.bias = bias, .groups = kGroups, .eps = 64e-5f, .centre = centre});
    EXPECT_LE(relative_l2(y, expected), 1e-6);
    normalize_heads(*ctx, x, w, y, kGroups);
    EXPECT_LE(relative_l2(y, unit), 1e-6);
  }
}

TEST(RecurrentOps, TokenShiftAndLerp) {
  TestContext ctx;
  const Tensor x = random_tensor({6, 37}, 1), y({6, 37}, DType::kF32), state = random_tensor({37}, 2), before = state.to(DType::kF64);
  token_shift(*ctx, x, state, y);
  EXPECT_EQ(relative_l2(y.select(0, 0), before), 0);
  EXPECT_TRUE(same_bits(y.slice(0, 1, 5), x.slice(0, 0, 5)));
  EXPECT_TRUE(same_bits(state, x.select(0, 5)));
  const Tensor m = random_tensor({37}, 3), full = random_tensor({6, 37}, 4), z({6, 37}, DType::kF32);
  for (const Tensor& weights : {m, full}) {
    Tensor expected({6, 37}, DType::kF64);
    for (int64_t i = 0; i < z.elements(); ++i) {
      const double a = x.data<float>()[i], b = y.data<float>()[i];
      expected.data<double>()[i] = a + (b - a) * weights.data<float>()[weights.rank() == 1 ? i % 37 : i];
    }
    lerp(*ctx, x, y, weights, z);
    EXPECT_LE(relative_l2(z, expected), 1e-6);
  }
}

TEST(RecurrentOps, BonusIsADotProductAHead) {
  TestContext ctx;
  constexpr int64_t T = 3, H = 2, d = 21, C = H * d;
  const Tensor q = random_tensor({T, C}, 1), k = random_tensor({T, C}, 2), v = random_tensor({T, C}, 3), u = random_tensor({H, d}, 4);
  const Tensor y = random_tensor({T, C}, 5);
  Tensor expected = test::to_double(y);
  for (int64_t first = 0; first < T * C; first += d) {
    double score = 0;
    for (int64_t i = first; i < first + d; ++i) {
      score += static_cast<double>(q.data<float>()[i]) * k.data<float>()[i] * u.data<float>()[i % C];
    }
    for (int64_t i = first; i < first + d; ++i) expected.data<double>()[i] += score * v.data<float>()[i];
  }
  add_bonus(*ctx, q, k, v, u, y);
  EXPECT_LE(relative_l2(y, expected), 1e-6);
}

TEST(RecurrentOps, ShapesThatDoNotFitAreRefused) {
  TestContext ctx;
  const Tensor x({4, 6}, DType::kF32), y({4, 5}, DType::kF32), w({6}, DType::kF32);
  EXPECT_THROW(group_norm(*ctx, x, w, y), Error);
  EXPECT_THROW(group_norm(*ctx, x, w, x, {.groups = 4}), Error);
  EXPECT_THROW(lerp(*ctx, x, x, Tensor({5}, DType::kF32), x), Error);
  EXPECT_THROW(token_shift(*ctx, x, w, x), Error);
  EXPECT_THROW(elementwise(*ctx, x, y, {}), Error);
  EXPECT_THROW(causal_conv1d(*ctx, x, Tensor({3, 6}, DType::kF32), {}, w, x, Activation::kNone), Error);
  EXPECT_THROW(add_bonus(*ctx, x, x, x, Tensor({2, 2}, DType::kF32), x), Error);
}

}  // namespace
}  // namespace linea
