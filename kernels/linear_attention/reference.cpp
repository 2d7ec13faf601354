#include "kernels/linear_attention/reference.h"

#include <algorithm>

namespace linea::reference {
namespace {

double at(const Doubles& values, int64_t row, int64_t column, int64_t pitch) { return values[static_cast<size_t>(row * pitch + column)]; }

}  // namespace

Doubles recurrent_attention(const Recurrence& r, Doubles& state) {
  const int64_t dk = r.key_dim, dv = r.value_dim;
  Doubles o(static_cast<size_t>(r.tokens * dv));
  for (int64_t t = 0; t < r.tokens; ++t) {
    for (int64_t i = 0; i < dv; ++i) {
      double* row = state.data() + i * dk;
      double along_a = 0;  // (S a)_i
      if (!r.a.empty()) {
        for (int64_t j = 0; j < dk; ++j) along_a += row[j] * at(r.a, t, j, dk);
      }
      double result = 0;
      for (int64_t j = 0; j < dk; ++j) {
        const double decay = r.w.empty() ? 1.0 : at(r.w, t, j, dk);
        const double correction = r.a.empty() ? 0.0 : along_a * at(r.b, t, j, dk);
        row[j] = row[j] * decay + correction + at(r.v, t, i, dv) * at(r.k, t, j, dk);
        result += row[j] * at(r.q, t, j, dk);
      }
      o[static_cast<size_t>(t * dv + i)] = result;
    }
  }
  return o;
}

Doubles relu_linear_attention(const Doubles& q, const Doubles& k, const Doubles& v, int64_t tokens, int64_t head_dim, double eps) {
  const int64_t d = head_dim;
  Doubles state(static_cast<size_t>((d + 1) * d), 0.0);  // S, and the normaliser in row d
  for (int64_t n = 0; n < tokens; ++n) {
    for (int64_t i = 0; i <= d; ++i) {
      const double value = i < d ? at(v, n, i, d) : 1.0;
      for (int64_t j = 0; j < d; ++j) state[static_cast<size_t>(i * d + j)] += value * std::max(at(k, n, j, d), 0.0);
    }
  }
  Doubles y(static_cast<size_t>(tokens * d));
  for (int64_t n = 0; n < tokens; ++n) {
    Doubles sums(static_cast<size_t>(d + 1), 0.0);
    for (int64_t i = 0; i <= d; ++i) {
      for (int64_t j = 0; j < d; ++j) sums[static_cast<size_t>(i)] += at(state, i, j, d) * std::max(at(q, n, j, d), 0.0);
    }
    for (int64_t i = 0; i < d; ++i) y[static_cast<size_t>(n * d + i)] = sums[static_cast<size_t>(i)] / (sums[static_cast<size_t>(d)] + eps);
  }
  return y;
}

}  // namespace linea::reference
