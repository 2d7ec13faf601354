// Softmax attention in tiles (flash style), in f32.
//
// Maths    s = softcap(scale · q kᵀ), masked;  y = Σ_n exp(s_n - m) v_n / Σ_n exp(s_n - m), with the maximum m updated tile by tile.
// Shape    SANA cross attention: 1024 queries, 20 heads of 112, 20–300 keys. Gemma-2: 300 queries, 8 heads over 4, d = 256, causal, cap 50.
// Tiles    keys are packed once, 64 at a time, as [d, 64] (so that scores come out in vectors of keys) and values as [64, round_up(d)];
//          32 queries visit a tile together: 8 KB of scores and 32·d sums stay in the first- and second-level cache.
// Order    tiles count from the segment's start, so a query's result depends on nothing but its own segment.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/gemm_tile.h"
#include "kernels/cpu/simd/math.h"
#include "kernels/cpu/simd/transpose.h"

namespace linea::cpu::LINEA_ISA {
namespace {

constexpr float kMasked = -__builtin_inff();

template <class T> void pack_tile(const T* k, const T* v, const AttentionParams& p, int64_t count, float* packed) {
  const int64_t d = p.head_dim, padded = round_up(d);
  for (int64_t i = 0; i < d * kKeyTile; i += kLanes) store(packed + i, F32s{});
  transpose_matrix(k, p.k_token, count, d, packed, kKeyTile);
  float* values = packed + d * kKeyTile;
  for (int64_t n = 0; n < kKeyTile; ++n) {
    for (int64_t i = 0; i < padded; i += kLanes) store(values + n * padded + i, F32s{});
    if (n < count) for_vectors(d, [&](int64_t i, auto lanes) { store(values + n * padded + i, load(v + n * p.v_token + i, lanes)); });
  }
}

struct Range {
  int64_t begin, end;
};

// The keys that a query may see.
Range visible_keys(const AttentionParams& p, int64_t query, int64_t keys) {
  Range range{0, keys};
  if (p.causal && query + 1 < keys) range.end = query + 1;
  if (p.window > 0 && query - p.window + 1 > 0) range.begin = query - p.window + 1;
  return range;
}

// Turns one row of scores into weights; returns the factor for what was summed before. kHidden: some keys of the tile are not visible.
template <bool kCapped, bool kHidden>
float update_softmax(const AttentionParams& p, float* scores, Range visible, int64_t tile_begin, float& maximum, float& sum) {
  F32s largest = splat(kMasked);
  for (int64_t i = 0; i < kKeyTile; i += kLanes) {
    F32s s = load(scores + i);
    if (kCapped) s = tanh(s * (1.0f / p.softcap)) * p.softcap;
    if (kHidden) {
      for (int c = 0; c < kLanes; ++c) {
        const int64_t key = tile_begin + i + c;
        if (key < visible.begin || key >= visible.end) s[c] = kMasked;
      }
    }
    if (kCapped || kHidden) store(scores + i, s);
    largest = max(s, largest);
  }
  const float tile_maximum = horizontal_max(largest);
  const float next = tile_maximum > maximum ? tile_maximum : maximum;
  if (next == kMasked) {  // nothing visible yet
    for (int64_t i = 0; i < kKeyTile; i += kLanes) store(scores + i, F32s{});
    return 1.0f;
  }
  F32s total = {};
  for (int64_t i = 0; i < kKeyTile; i += kLanes) {
    const F32s s = load(scores + i);
    F32s weight = exp_nonpositive(s - next);
    if (kHidden) weight = s == kMasked ? F32s{} : weight;
    store(scores + i, weight);
    total += weight;
  }
  const float factor = maximum == kMasked ? 0.0f : exp_nonpositive(splat(maximum - next))[0];
  sum = sum * factor + horizontal_sum(total);
  maximum = next;
  return factor;
}

float update_softmax(const AttentionParams& p, float* scores, Range visible, int64_t tile_begin, float& maximum, float& sum) {
  const bool hidden = tile_begin < visible.begin || tile_begin + kKeyTile > visible.end;
  if (p.softcap > 0) {
    return hidden ? update_softmax<true, true>(p, scores, visible, tile_begin, maximum, sum)
                  : update_softmax<true, false>(p, scores, visible, tile_begin, maximum, sum);
  }
  return hidden ? update_softmax<false, true>(p, scores, visible, tile_begin, maximum, sum)
                : update_softmax<false, false>(p, scores, visible, tile_begin, maximum, sum);
}

template <class T>
void attend(const AttentionParams& p, const T* q, T* y, int64_t query_begin, int64_t queries, int64_t keys, const float* packed,
            int64_t tile_stride) {
  const int64_t d = p.head_dim, padded = round_up(d);
  float rows[kQueryBlock * kMaxHeadDim], sums[kQueryBlock * kMaxHeadDim], scores[kQueryBlock * kKeyTile];
  float maximum[kQueryBlock], total[kQueryBlock] = {};
  for (int64_t t = 0; t < queries; ++t) {
    maximum[t] = kMasked;
    for_vectors(d, [&](int64_t i, auto lanes) { store(rows + t * padded + i, load(q + t * p.q_token + i, lanes) * p.scale); });
    for (int64_t i = 0; i < padded; i += kLanes) store(sums + t * padded + i, F32s{});
  }
  const Range first = visible_keys(p, query_begin, keys), last = visible_keys(p, query_begin + queries - 1, keys);
  for (int64_t tile = first.begin / kKeyTile; tile * kKeyTile < last.end; ++tile) {
    const float* transposed_keys = packed + tile * tile_stride;
    gemm<false>({rows, padded, 1, transposed_keys, kKeyTile, scores, kKeyTile, d}, queries, kKeyTile);
    for (int64_t t = 0; t < queries; ++t) {
      const float factor =
          update_softmax(p, scores + t * kKeyTile, visible_keys(p, query_begin + t, keys), tile * kKeyTile, maximum[t], total[t]);
      if (factor == 1.0f) continue;
      for (int64_t i = 0; i < padded; i += kLanes) store(sums + t * padded + i, load(sums + t * padded + i) * factor);
    }
    gemm<true>({scores, kKeyTile, 1, transposed_keys + d * kKeyTile, padded, sums, padded, kKeyTile}, queries, padded);
  }
  for (int64_t t = 0; t < queries; ++t) {
    const float scale = total[t] > 0 ? 1.0f / total[t] : 0.0f;  // a query that sees nothing yields zeros
    for_vectors(d, [&](int64_t i, auto lanes) { store(y + t * p.y_token + i, load(sums + t * padded + i) * scale, lanes); });
  }
}

}  // namespace

void attention_pack(const AttentionParams& p, int64_t kv_head, int64_t begin, int64_t count, float* packed) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    const T* k = static_cast<const T*>(p.k) + begin * p.k_token + kv_head * p.k_head;
    const T* v = static_cast<const T*>(p.v) + begin * p.v_token + kv_head * p.v_head;
    pack_tile(k, v, p, count, packed);
  });
}

void attention(const AttentionParams& p, int64_t batch, int64_t head, int64_t query_begin, int64_t query_end, int64_t keys,
               const float* packed, int64_t tile_stride) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    const T* q = static_cast<const T*>(p.q) + batch * p.q_batch + head * p.q_head + query_begin * p.q_token;
    T* y = static_cast<T*>(p.y) + batch * p.y_batch + head * p.y_head + query_begin * p.y_token;
    attend(p, q, y, query_begin, query_end - query_begin, keys, packed, tile_stride);
  });
}

}  // namespace linea::cpu::LINEA_ISA
