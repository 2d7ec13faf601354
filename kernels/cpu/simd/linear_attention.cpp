// Global ReLU linear attention with normaliser, in f32.
//
// Maths    M = Σ_n k_n⁺ v_nᵀ ∈ R^{d×d},  z = Σ_n k_n⁺;   y_n = (Mᵀ q_n⁺) / (z·q_n⁺ + eps)
// Shape    SANA-0.6B at 1024²: N = 1024 tokens, 36 heads of d = 32: 4.2 kFLOP a token and head against 256 B (bf16), bound by compute.
// Tiles    32 tokens are widened into 8 KB of f32; M (4 KB) grows by a product of that tile. The caller gives fixed blocks of tokens and
//          adds their states in order, so the result does not depend on the number of threads.
// Layout   state: M as d rows of round_up(d), then z.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/gemm_tile.h"
#include "kernels/cpu/simd/math.h"

namespace linea::cpu::LINEA_ISA {
namespace {

constexpr int64_t kTokens = 32;

// Rows of d channels become rows of round_up(d) floats, the rest zeros.
template <class T, Act kAct> void widen(const T* rows, int64_t pitch, int64_t count, int64_t d, float* out) {
  const int64_t padded = round_up(d);
  for (int64_t t = 0; t < count; ++t) {
    for_vectors(d, [&](int64_t i, auto lanes) { store(out + t * padded + i, activate<kAct>(load(rows + t * pitch + i, lanes))); });
  }
}

template <class T> void add_to_state(const LinearAttentionParams& p, const T* k, const T* v, int64_t tokens, float* state) {
  const int64_t d = p.head_dim, padded = round_up(d);
  float keys[kTokens * kMaxHeadDim], values[kTokens * kMaxHeadDim];
  float* norm = state + d * padded;
  for (int64_t n = 0; n < tokens; n += kTokens) {
    const int64_t count = tokens - n < kTokens ? tokens - n : kTokens;
    widen<T, Act::kRelu>(k + n * p.k_token, p.k_token, count, d, keys);
    widen<T, Act::kNone>(v + n * p.v_token, p.v_token, count, d, values);
    gemm<true>({keys, 1, padded, values, padded, state, padded, count}, d, padded);
    for (int64_t i = 0; i < padded; i += kLanes) {
      F32s sum = load(norm + i);
      for (int64_t t = 0; t < count; ++t) sum += load(keys + t * padded + i);
      store(norm + i, sum);
    }
  }
}

template <class T> void apply_state(const LinearAttentionParams& p, const T* q, T* y, int64_t tokens, const float* state) {
  const int64_t d = p.head_dim, padded = round_up(d);
  float queries[kTokens * kMaxHeadDim], sums[kTokens * kMaxHeadDim];
  const float* norm = state + d * padded;
  for (int64_t n = 0; n < tokens; n += kTokens) {
    const int64_t count = tokens - n < kTokens ? tokens - n : kTokens;
    widen<T, Act::kRelu>(q + n * p.q_token, p.q_token, count, d, queries);
    gemm<false>({queries, padded, 1, state, padded, sums, padded, d}, count, padded);
    for (int64_t t = 0; t < count; ++t) {
      F32s dot = {};
      for (int64_t i = 0; i < padded; i += kLanes) dot += load(queries + t * padded + i) * load(norm + i);
      const float scale = 1.0f / (horizontal_sum(dot) + p.eps);
      T* out = y + (n + t) * p.y_token;
      for_vectors(d, [&](int64_t i, auto lanes) { store(out + i, load(sums + t * padded + i) * scale, lanes); });
    }
  }
}

}  // namespace

void linear_attention_state(const LinearAttentionParams& p, int64_t batch, int64_t head, int64_t begin, int64_t end, float* state) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    for (int64_t i = 0; i < (p.head_dim + 1) * round_up(p.head_dim); i += kLanes) store(state + i, F32s{});
    const T* k = static_cast<const T*>(p.k) + batch * p.k_batch + head * p.k_head + begin * p.k_token;
    const T* v = static_cast<const T*>(p.v) + batch * p.v_batch + head * p.v_head + begin * p.v_token;
    add_to_state(p, k, v, end - begin, state);
  });
}

void linear_attention_apply(const LinearAttentionParams& p, int64_t batch, int64_t head, int64_t begin, int64_t end, const float* state) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    const T* q = static_cast<const T*>(p.q) + batch * p.q_batch + head * p.q_head + begin * p.q_token;
    T* y = static_cast<T*>(p.y) + batch * p.y_batch + head * p.y_head + begin * p.y_token;
    apply_state(p, q, y, end - begin, state);
  });
}

}  // namespace linea::cpu::LINEA_ISA
