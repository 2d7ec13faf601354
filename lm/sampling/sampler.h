// lm/sampling/sampler.h: draws the next token from logits.
//
// Bias and mask → penalties → filters in the order of a preset → draw. All arithmetic of mass is in double. Draws come from a counter-based
// generator (SplitMix64 of seed and counter), so a sampler is a small value that can be saved, and the same seed gives the same text.
// A temperature of 0 takes the most probable token, the smallest id among equals.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lm/sampling/filters.h"
#include "lm/sampling/token_mask.h"

namespace linea {

// The order in which the filters work:
//   kRwkv          top-p, top-k, min-p, typical, temperature: the filters see the distribution at temperature 1 (package `rwkv`)
//   kTransformers  temperature, top-k, top-p, min-p, typical
//   kLlama         top-k, typical, top-p, min-p, temperature (llama.cpp)
enum class SamplerOrder : uint8_t { kRwkv, kTransformers, kLlama };
SamplerOrder parse_sampler_order(const std::string& name);  // "rwkv", "transformers", "llama"; throws kUsage
extern const std::vector<std::string> kSamplerOrders;       // their names

struct SamplingOptions {
  SamplerOrder order = SamplerOrder::kRwkv;
  double temperature = 1;  // 0 = greedy
  int64_t top_k = 0;       // 0 = off
  double top_p = 1, typical = 1;
  double min_p = 0;
  // Penalties. Presence and frequency are taken off the logits of tokens of this answer: presence + frequency · count; before each token is
  // counted all counts are multiplied by `penalty_decay` (RWKV: 0.996; 1 = the usual form). Repetition (arXiv 1909.05858) divides positive
  // logits of every token seen, the prompt's too, and multiplies negative ones.
  double repetition = 1, presence = 0, frequency = 0, penalty_decay = 1;
  // Mirostat 2: holds the surprise of the text at tau bits with learning rate eta, in place of the filters; tau 0 = off.
  double mirostat_tau = 0, mirostat_eta = 0.1;
  std::vector<std::pair<int32_t, float>> logit_bias{};  // -infinity bans a token
  uint64_t seed = 0;

  void check() const;  // throws kUsage naming the value that is out of range
};

class Sampler {
 public:
  explicit Sampler(SamplingOptions options);

  // The prompt's tokens, for the repetition penalty.
  void observe(std::span<const int32_t> prompt);
  // Draws among the ids that `allowed` holds (null = all). NaN logits count as -infinity. Throws kInternal when nothing can be drawn.
  int32_t sample(std::span<const float> logits, const TokenMask* allowed = nullptr);
  // Counts a token of the answer.
  void accept(int32_t id);

  const SamplingOptions& options() const { return options_; }

 private:
  void apply_penalties(std::vector<float>& logits) const;
  Candidates candidates_of(const std::vector<float>& logits) const;
  void filter(Candidates& candidates) const;
  int32_t draw(const Candidates& candidates, double* probability);
  double uniform();

  SamplingOptions options_;
  std::vector<std::pair<int32_t, double>> counts_;  // of the answer's tokens, decayed; sorted by id
  std::vector<int32_t> seen_;                       // sorted, for the repetition penalty
  uint64_t draws_ = 0;
  double mu_;
  std::vector<float> scratch_;
};

}  // namespace linea
