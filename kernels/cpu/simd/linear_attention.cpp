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

// Rows of d channels become rows of round_up(d) floats, the rest zeros. `ahead` is the way to the rows that come next.
template <class T, Act kAct> void widen(const T* rows, int64_t pitch, int64_t count, int64_t d, int64_t ahead, float* out) {
  const int64_t padded = round_up(d);
  for (int64_t t = 0; t < count; ++t) {
    prefetch(rows + t * pitch + ahead, d);
    for_vectors(d, [&](int64_t i, auto lanes) { store(out + t * padded + i, activate<kAct>(load(rows + t * pitch + i, lanes))); });
  }
}

// At most kTokens tokens of one head.
template <class T> void add_to_state(const LinearAttentionParams& p, const T* k, const T* v, int64_t tokens, float* state) {
  const int64_t d = p.head_dim, padded = round_up(d);
  float keys[kTokens * kMaxHeadDim], values[kTokens * kMaxHeadDim];
  float* norm = state + d * padded;
  widen<T, Act::kRelu>(k, p.k_token, tokens, d, p.k_head, keys);
  widen<T, Act::kNone>(v, p.v_token, tokens, d, p.v_head, values);
  gemm<true>({keys, 1, padded, values, padded, state, padded, tokens}, d, padded);
  for (int64_t i = 0; i < padded; i += kLanes) {
    F32s sum = load(norm + i);
    for (int64_t t = 0; t < tokens; ++t) sum += load(keys + t * padded + i);
    store(norm + i, sum);
  }
}

template <class T> void apply_state(const LinearAttentionParams& p, const T* q, T* y, int64_t tokens, const float* state) {
  const int64_t d = p.head_dim, padded = round_up(d);
  float queries[kTokens * kMaxHeadDim], sums[kTokens * kMaxHeadDim];
  const float* norm = state + d * padded;
  widen<T, Act::kRelu>(q, p.q_token, tokens, d, p.q_head, queries);
  gemm<false>({queries, padded, 1, state, padded, sums, padded, d}, tokens, padded);
  for (int64_t t = 0; t < tokens; ++t) {
    F32s dot = {};
    for (int64_t i = 0; i < padded; i += kLanes) dot += load(queries + t * padded + i) * load(norm + i);
    const float scale = 1.0f / (horizontal_sum(dot) + p.eps);
    T* out = y + t * p.y_token;
    for_vectors(d, [&](int64_t i, auto lanes) { store(out + i, load(sums + t * padded + i) * scale, lanes); });
  }
}

// visit(head, first token, tokens): heads are the inner loop, so that neighbouring channels of a token are read one after the other.
template <class Visit> void for_tiles(int64_t head_begin, int64_t head_end, int64_t begin, int64_t end, Visit visit) {
  for (int64_t n = begin; n < end; n += kTokens) {
    const int64_t tokens = end - n < kTokens ? end - n : kTokens;
    for (int64_t h = head_begin; h < head_end; ++h) visit(h, n, tokens);
  }
}

}  // namespace

void linear_attention_state(const LinearAttentionParams& p, int64_t batch, int64_t head_begin, int64_t head_end, int64_t begin, int64_t end,
                            float* state, int64_t state_pitch) {
  for (int64_t h = head_begin; h < head_end; ++h) {
    for (int64_t i = 0; i < (p.head_dim + 1) * round_up(p.head_dim); i += kLanes) store(state + h * state_pitch + i, F32s{});
  }
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    for_tiles(head_begin, head_end, begin, end, [&](int64_t h, int64_t n, int64_t tokens) {
      const T* k = static_cast<const T*>(p.k) + batch * p.k_batch + h * p.k_head + n * p.k_token;
      const T* v = static_cast<const T*>(p.v) + batch * p.v_batch + h * p.v_head + n * p.v_token;
      add_to_state(p, k, v, tokens, state + h * state_pitch);
    });
  });
}

void linear_attention_apply(const LinearAttentionParams& p, int64_t batch, int64_t head_begin, int64_t head_end, int64_t begin, int64_t end,
                            const float* state, int64_t state_pitch) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    for_tiles(head_begin, head_end, begin, end, [&](int64_t h, int64_t n, int64_t tokens) {
      const T* q = static_cast<const T*>(p.q) + batch * p.q_batch + h * p.q_head + n * p.q_token;
      T* y = static_cast<T*>(p.y) + batch * p.y_batch + h * p.y_head + n * p.y_token;
      apply_state(p, q, y, tokens, state + h * state_pitch);
    });
  });
}

}  // namespace linea::cpu::LINEA_ISA
