// kernels/linear_attention/reference.h: the family of linear attentions in double, plain and slow. Fast kernels are tested against it.
//
//   S_t = S_{t-1} (diag(w_t) + a_t b_tᵀ) + v_t k_tᵀ,   o_t = S_t q_t        S ∈ R^{dv×dk} per head
//
// RetNet and Mamba-2 have one decay w for all channels, GLA and RWKV-6 a vector, RWKV-7 and (gated) DeltaNet the rank-1 term as well.
#pragma once

#include <cstdint>
#include <vector>

namespace linea::reference {

using Doubles = std::vector<double>;

// One head of T tokens. Vectors may be empty: w = ones, a and b = no rank-1 term.
struct Recurrence {
  int64_t tokens = 0, key_dim = 0, value_dim = 0;
  Doubles q, k;  // [T, dk]
  Doubles v;     // [T, dv]
  Doubles w;     // [T, dk]
  Doubles a, b;  // [T, dk]
};
// Causal. `state` [dv, dk] is the state before the first token and becomes the state after the last; returns o [T, dv].
Doubles recurrent_attention(const Recurrence& r, Doubles& state);

// Global, with ReLU feature maps and normaliser: one head of N tokens, all [N, d]; see relu_linear_attention in ops.h.
Doubles relu_linear_attention(const Doubles& q, const Doubles& k, const Doubles& v, int64_t tokens, int64_t head_dim, double eps);

}  // namespace linea::reference
