#include "lm/sampling/filters.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>

namespace linea {
namespace {

float largest_logit(const Candidates& candidates) {
  float largest = candidates.front().logit;
  for (const Candidate& c : candidates) largest = std::max(largest, c.logit);
  return largest;
}

constexpr size_t kBlock = 16;

// e^x for x <= 0 to float's precision, in a form that compiles to vectors: 2^n by the exponent's bits, 2^f for |f| <= 1/2 by a polynomial.
// Below -87 it gives about 1e-38 instead of less, which no sum of probabilities can tell.
void exponentials(std::array<float, kBlock>& x) {
  constexpr float kRound = 12582912.0f;  // 1.5 · 2^23: adding it leaves whole numbers
  for (float& value : x) {
    const float scaled = (value < -87.0f ? -87.0f : value) * 1.44269504f;
    const float shifted = scaled + kRound;
    const float f = (scaled - (shifted - kRound)) * 0.693147181f;
    const float power = 1 + f * (1 + f * (0.5f + f * (0.166666672f + f * (0.0416664891f + f * (0.00833335798f + f * 0.00139316185f)))));
    const int32_t n = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound);
    value = power * std::bit_cast<float>((n + 127) << 23);
  }
}

// The candidates whose flag is set; all when none is.
void keep(Candidates& candidates, const std::vector<bool>& kept) {
  size_t out = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (kept[i]) candidates[out++] = candidates[i];
  }
  if (out > 0) candidates.resize(out);
}

// The smallest key t for which the candidates with key <= t have the mass. Keys are at least 0. A histogram of the mass finds the narrow
// range of keys that has to be sorted.
float threshold_of_mass(const std::vector<float>& keys, const std::vector<double>& p, double mass) {
  constexpr size_t kBuckets = 1024;
  constexpr float kPerUnit = 32;
  std::array<double, kBuckets> sums{};
  const auto bucket_of = [](float key) { return static_cast<size_t>(std::min(key * kPerUnit, static_cast<float>(kBuckets - 1))); };
  for (size_t i = 0; i < keys.size(); ++i) sums[bucket_of(keys[i])] += p[i];
  size_t bucket = 0;
  double before = 0;
  while (bucket + 1 < kBuckets && before + sums[bucket] < mass) before += sums[bucket++];
  std::vector<std::pair<float, double>> inside;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (bucket_of(keys[i]) == bucket) inside.emplace_back(keys[i], p[i]);
  }
  std::sort(inside.begin(), inside.end());
  for (const auto& [key, probability] : inside) {
    before += probability;
    if (before >= mass) return key;
  }
  return inside.empty() ? INFINITY : inside.back().first;  // rounding kept the sum below the mass
}

void keep_mass(Candidates& candidates, const std::vector<float>& keys, const std::vector<double>& p, double mass) {
  const float threshold = threshold_of_mass(keys, p, mass);
  std::vector<bool> kept(candidates.size());
  for (size_t i = 0; i < kept.size(); ++i) kept[i] = keys[i] <= threshold;
  keep(candidates, kept);
}

}  // namespace

std::vector<double> probabilities(const Candidates& candidates) {
  const float largest = largest_logit(candidates);
  std::vector<double> p(candidates.size());
  double sum = 0;
  std::array<float, kBlock> block{};
  for (size_t begin = 0; begin < p.size(); begin += kBlock) {
    const size_t count = std::min(kBlock, p.size() - begin);
    for (size_t i = 0; i < count; ++i) block[i] = candidates[begin + i].logit - largest;
    exponentials(block);
    for (size_t i = 0; i < count; ++i) sum += p[begin + i] = static_cast<double>(block[i]);
  }
  for (double& value : p) value /= sum;
  return p;
}

void keep_top_k(Candidates& candidates, int64_t k) {
  if (k <= 0 || static_cast<size_t>(k) >= candidates.size()) return;
  std::vector<float> values(candidates.size());
  for (size_t i = 0; i < values.size(); ++i) values[i] = candidates[i].logit;
  const auto last = values.begin() + (k - 1);
  std::nth_element(values.begin(), last, values.end(), std::greater<>());
  const float threshold = *last;
  auto equals = static_cast<size_t>(k - std::count_if(values.begin(), last, [&](float v) { return v > threshold; }));
  std::vector<bool> kept(candidates.size());
  for (size_t i = 0; i < kept.size(); ++i) {
    const float logit = candidates[i].logit;
    kept[i] = logit > threshold || (logit == threshold && equals > 0 && equals-- > 0);
  }
  keep(candidates, kept);
}

void keep_top_p(Candidates& candidates, double mass) {
  if (mass >= 1) return;
  const float largest = largest_logit(candidates);
  std::vector<float> keys(candidates.size());
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = largest - candidates[i].logit;
  keep_mass(candidates, keys, probabilities(candidates), mass);
}

void keep_min_p(Candidates& candidates, double ratio) {
  if (ratio <= 0) return;
  const float threshold = largest_logit(candidates) + static_cast<float>(std::log(ratio));
  std::vector<bool> kept(candidates.size());
  for (size_t i = 0; i < kept.size(); ++i) kept[i] = candidates[i].logit >= threshold;
  keep(candidates, kept);
}

void keep_typical(Candidates& candidates, double mass) {
  if (mass >= 1) return;
  const std::vector<double> p = probabilities(candidates);
  double entropy = 0;
  for (const double value : p) entropy -= value > 0 ? value * std::log(value) : 0;
  std::vector<float> keys(candidates.size());
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<float>(std::abs(-std::log(p[i]) - entropy));
  keep_mass(candidates, keys, p, mass);
}

void keep_below_surprise(Candidates& candidates, double mu) {
  const std::vector<double> p = probabilities(candidates);
  std::vector<bool> kept(candidates.size());
  const auto best = std::max_element(p.begin(), p.end()) - p.begin();
  for (size_t i = 0; i < kept.size(); ++i) kept[i] = -std::log2(p[i]) <= mu;
  kept[static_cast<size_t>(best)] = true;
  keep(candidates, kept);
}

void scale_by_temperature(Candidates& candidates, double temperature) {
  if (temperature == 1) return;
  if (temperature <= 0) {
    const auto more = [](const Candidate& a, const Candidate& b) { return a.logit < b.logit; };
    candidates = {*std::max_element(candidates.begin(), candidates.end(), more)};
    return;
  }
  const float factor = static_cast<float>(1 / temperature);
  for (Candidate& c : candidates) c.logit *= factor;
}

}  // namespace linea
