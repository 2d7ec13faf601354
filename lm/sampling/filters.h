// lm/sampling/filters.h: what narrows a distribution over tokens before one is drawn.
//
// Candidates stand in the order of their ids throughout, so that a draw does not depend on how a filter found its threshold. No filter
// sorts the vocabulary: thresholds come from a selection (top-k) or a histogram of the mass (top-p, typical). Ties at a threshold of mass
// are kept, as the RWKV authors' sampler does. Every filter leaves at least one candidate.
// References: transformers' logits processors, the authors' package `rwkv`; golden tests in tests/lm.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace linea {

struct Candidate {
  float logit;
  int32_t id;
};
using Candidates = std::vector<Candidate>;

void keep_top_k(Candidates& candidates, int64_t k);                     // the k largest; of equals at the end, the smallest ids
void keep_top_p(Candidates& candidates, double mass);                   // the most probable that together have `mass`
void keep_min_p(Candidates& candidates, double ratio);                  // p >= ratio · the largest p
void keep_typical(Candidates& candidates, double mass);                 // those whose surprise is nearest to the entropy (arXiv 2202.00666)
void keep_below_surprise(Candidates& candidates, double mu);            // -log2 p <= mu: the truncation of mirostat 2 (arXiv 2007.14966)
void scale_by_temperature(Candidates& candidates, double temperature);  // 0 keeps the largest alone

std::vector<double> probabilities(const Candidates& candidates);  // softmax, in double

}  // namespace linea
