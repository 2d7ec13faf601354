#include "lm/sampling/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace linea {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// What is further below the largest logit than this has, summed over any vocabulary, less than float's rounding of the mass.
constexpr double kNegligible = 32;

enum class Step : uint8_t { kTopK, kTopP, kMinP, kTypical, kTemperature };
constexpr Step kOrders[][5] = {{Step::kTopP, Step::kTopK, Step::kMinP, Step::kTypical, Step::kTemperature},
                               {Step::kTemperature, Step::kTopK, Step::kTopP, Step::kMinP, Step::kTypical},
                               {Step::kTopK, Step::kTypical, Step::kTopP, Step::kMinP, Step::kTemperature}};

// In blocks, which compile to vectors. NaN is never larger.
float largest_of(const std::vector<float>& values) {
  constexpr size_t kLanes = 16;
  std::array<float, kLanes> largest;
  largest.fill(kNever);
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) largest[j] = values[i + j] > largest[j] ? values[i + j] : largest[j];
  }
  for (; i < values.size(); ++i) largest[0] = values[i] > largest[0] ? values[i] : largest[0];
  return *std::max_element(largest.begin(), largest.end());
}

void check_range(const char* name, double value, double minimum, double maximum) {
  if (value >= minimum && value <= maximum) return;
  char text[160];
  std::snprintf(text, sizeof text, "%s: %g is not from %g to %g", name, value, minimum, maximum);
  throw Error(ErrorKind::kUsage, text);
}

}  // namespace

const std::vector<std::string> kSamplerOrders = {"rwkv", "transformers", "llama"};

SamplerOrder parse_sampler_order(const std::string& name) {
  const auto found = std::find(kSamplerOrders.begin(), kSamplerOrders.end(), name);
  if (found == kSamplerOrders.end()) {
    throw Error(ErrorKind::kUsage, "sampler order: unknown value '" + name + "'", "one of rwkv, transformers, llama");
  }
  return static_cast<SamplerOrder>(found - kSamplerOrders.begin());
}

void SamplingOptions::check() const {
  check_range("temperature", temperature, 0, 100);
  check_range("top-k", static_cast<double>(top_k), 0, 1e9);
  check_range("top-p", top_p, 0, 1);
  check_range("min-p", min_p, 0, 1);
  check_range("typical", typical, 0, 1);
  check_range("repetition penalty", repetition, 0.01, 100);
  check_range("presence penalty", presence, -100, 100);
  check_range("frequency penalty", frequency, -100, 100);
  check_range("penalty decay", penalty_decay, 0, 1);
  check_range("mirostat", mirostat_tau, 0, 100);
  check_range("mirostat learning rate", mirostat_eta, 0, 10);
  for (const auto& [id, bias] : logit_bias) {
    if (id < 0 || std::isnan(bias)) throw Error(ErrorKind::kUsage, "logit bias: id " + std::to_string(id) + " or its value is not usable");
  }
}

Sampler::Sampler(SamplingOptions options) : options_(std::move(options)), mu_(2 * options_.mirostat_tau) { options_.check(); }

void Sampler::observe(std::span<const int32_t> prompt) {
  if (options_.repetition == 1) return;
  seen_.insert(seen_.end(), prompt.begin(), prompt.end());
  std::sort(seen_.begin(), seen_.end());
  seen_.erase(std::unique(seen_.begin(), seen_.end()), seen_.end());
}

void Sampler::accept(int32_t id) {
  observe({&id, 1});
  if (options_.presence == 0 && options_.frequency == 0) return;
  for (auto& [counted, count] : counts_) count *= options_.penalty_decay;
  const auto slot =
      std::lower_bound(counts_.begin(), counts_.end(), id, [](const auto& entry, int32_t value) { return entry.first < value; });
  if (slot != counts_.end() && slot->first == id) {
    slot->second += 1;
  } else {
    counts_.insert(slot, {id, 1.0});
  }
}

void Sampler::apply_penalties(std::vector<float>& logits) const {
  const auto size = static_cast<int64_t>(logits.size());
  for (const auto& [id, bias] : options_.logit_bias) {
    if (id < size) logits[static_cast<size_t>(id)] += bias;
  }
  for (const int32_t id : seen_) {
    if (id < 0 || id >= size) continue;
    float& logit = logits[static_cast<size_t>(id)];
    const auto penalty = static_cast<float>(options_.repetition);
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
  for (const auto& [id, count] : counts_) {
    if (id >= 0 && id < size) logits[static_cast<size_t>(id)] -= static_cast<float>(options_.presence + count * options_.frequency);
  }
}

Candidates Sampler::candidates_of(const std::vector<float>& logits) const {
  const float largest = largest_of(logits);
  if (largest == kNever) throw Error(ErrorKind::kInternal, "sampler: no token can be drawn");
  const float threshold = largest - static_cast<float>(kNegligible * std::max(1.0, options_.temperature));
  Candidates candidates(logits.size());
  size_t count = 0;
  for (size_t id = 0; id < logits.size(); ++id) {  // without branches: most logits are either all kept or all not
    candidates[count] = {logits[id], static_cast<int32_t>(id)};
    count += logits[id] >= threshold ? 1 : 0;
  }
  candidates.resize(count);
  return candidates;
}

void Sampler::filter(Candidates& candidates) const {
  for (const Step step : kOrders[static_cast<size_t>(options_.order)]) {
    switch (step) {
      case Step::kTopK: keep_top_k(candidates, options_.top_k); break;
      case Step::kTopP: keep_top_p(candidates, options_.top_p); break;
      case Step::kMinP: keep_min_p(candidates, options_.min_p); break;
      case Step::kTypical: keep_typical(candidates, options_.typical); break;
      case Step::kTemperature: scale_by_temperature(candidates, options_.temperature); break;
    }
  }
}

int32_t Sampler::sample(std::span<const float> logits, const TokenMask* allowed) {
  scratch_.assign(logits.begin(), logits.end());
  apply_penalties(scratch_);
  if (allowed) {
    const auto size = static_cast<int32_t>(scratch_.size());
    int32_t next = 0;  // everything between two allowed ids is banned
    allowed->for_each([&](int32_t id) {
      for (; next < std::min(id, size); ++next) scratch_[static_cast<size_t>(next)] = kNever;
      next = id + 1;
    });
    for (; next < size; ++next) scratch_[static_cast<size_t>(next)] = kNever;
  }
  Candidates candidates = candidates_of(scratch_);
  if (options_.temperature == 0) {
    scale_by_temperature(candidates, 0);
    return candidates.front().id;
  }
  if (options_.mirostat_tau == 0) {
    filter(candidates);
    return draw(candidates, nullptr);
  }
  scale_by_temperature(candidates, options_.temperature);
  keep_below_surprise(candidates, mu_);
  double probability = 1;
  const int32_t id = draw(candidates, &probability);
  mu_ -= options_.mirostat_eta * (-std::log2(probability) - options_.mirostat_tau);
  return id;
}

int32_t Sampler::draw(const Candidates& candidates, double* probability) {
  const std::vector<double> p = probabilities(candidates);
  double left = uniform();
  size_t chosen = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] > 0) chosen = i;
    left -= p[i];
    if (left < 0) break;
  }
  if (probability) *probability = p[chosen];
  return candidates[chosen].id;
}

double Sampler::uniform() {
  uint64_t z = options_.seed + 0x9e3779b97f4a7c15u * ++draws_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

}  // namespace linea
