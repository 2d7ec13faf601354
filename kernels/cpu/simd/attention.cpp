// Softmax attention in tiles (flash style), in f32.
//
// Maths    s = softcap(scale · q kᵀ), masked;  y = Σ_n exp(s_n - m) v_n / Σ_n exp(s_n - m), with the maximum m updated tile by tile.
// Shape    SANA cross attention: 1024 queries, 20 heads of 112, 20–300 keys. Gemma-2: 300 queries, 8 heads over 4, d = 256, causal, cap 50.
// Lanes    are queries: scores [keys, queries] and sums [d, queries] come out of products whose left side, rows of keys and columns of
//          values, is broadcast. So nothing is padded to a vector but the last queries, and no maximum or sum runs across lanes.
// Tiles    keys and values are widened once, 64 rows at a time; 32 queries visit a tile together: 8 KB of scores and 128·d bytes of sums.
// Order    tiles count from the segment's start, so a query's result depends on nothing but its own segment.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/gemm_tile.h"
#include "kernels/cpu/simd/math.h"
#include "kernels/cpu/simd/transpose.h"

namespace linea::cpu::LINEA_ISA {
namespace {

constexpr float kMasked = -__builtin_inff();
static_assert(kQueryBlock % kLanes == 0);

template <class T> void widen_rows(const T* rows, int64_t pitch, int64_t count, int64_t d, float* out) {
  for (int64_t n = 0; n < count; ++n) {
    for_vectors(d, [&](int64_t i, auto lanes) { store(out + n * d + i, load(rows + n * pitch + i, lanes), lanes); });
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

inline F32s hide(F32s s, I32s begin, I32s end, int64_t key) {
  const I32s keys = I32s{} + static_cast<int32_t>(key);
  return (keys >= begin) & (keys < end) ? s : splat(kMasked);
}

// The state of a vector of queries' softmax.
struct Softmax {
  F32s maximum = splat(kMasked), total = {};
};

// Turns a column of scores, one vector of queries, into weights; returns the factors for what was summed before. kHidden: some keys of the
// tile are not visible to some of them.
template <bool kCapped, bool kHidden>
F32s update_softmax(const AttentionParams& p, float* scores, int64_t key_begin, int64_t count, I32s begin, I32s end, Softmax& softmax) {
  F32s largest = softmax.maximum;
  for (int64_t n = 0; n < count; ++n) {
    F32s s = load(scores + n * kQueryBlock);
    if (kCapped) s = tanh(s * (1.0f / p.softcap)) * p.softcap;
    if (kHidden) s = hide(s, begin, end, key_begin + n);
    if (kCapped || kHidden) store(scores + n * kQueryBlock, s);
    largest = max(s, largest);
  }
  const F32s shift = largest == kMasked ? F32s{} : largest;  // nothing visible yet
  F32s sum = {};
  for (int64_t n = 0; n < count; ++n) {
    const F32s s = load(scores + n * kQueryBlock);
    F32s weight = exp_nonpositive(s - shift);
    if (kHidden) weight = s == kMasked ? F32s{} : weight;
    store(scores + n * kQueryBlock, weight);
    sum += weight;
  }
  const F32s factor = softmax.maximum == largest ? splat(1.0f) : exp_nonpositive(softmax.maximum - shift);
  softmax.total = softmax.total * factor + sum;
  softmax.maximum = largest;
  return factor;
}

using UpdateSoftmax = F32s (*)(const AttentionParams&, float*, int64_t, int64_t, I32s, I32s, Softmax&);
UpdateSoftmax softmax_for(bool capped, bool hidden) {
  if (capped) return hidden ? update_softmax<true, true> : update_softmax<true, false>;
  return hidden ? update_softmax<false, true> : update_softmax<false, false>;
}

// A block of queries: its transposed rows [d, kQueryBlock], sums likewise, and softmaxes.
struct QueryBlock {
  float rows[kMaxHeadDim * kQueryBlock], sums[kMaxHeadDim * kQueryBlock], scores[kKeyTile * kQueryBlock];
  Softmax softmax[kQueryBlock / kLanes];
  I32s begin[kQueryBlock / kLanes], end[kQueryBlock / kLanes];  // the visible keys of each query
};

template <class T>
void start_block(const AttentionParams& p, const T* q, int64_t query_begin, int64_t queries, int64_t keys, QueryBlock& block) {
  const int64_t d = p.head_dim, columns = round_up(queries);
  transpose_matrix(q, p.q_token, queries, d, block.rows, kQueryBlock);
  for (int64_t i = 0; i < d; ++i) {
    for (int64_t t = 0; t < columns; t += kLanes) {
      float* row = block.rows + i * kQueryBlock + t;
      store(row, load(row) * p.scale);
      store(block.sums + i * kQueryBlock + t, F32s{});
    }
  }
  for (int64_t t = 0; t < columns; ++t) {
    const Range range = visible_keys(p, query_begin + t, keys);
    block.begin[t / kLanes][t % kLanes] = static_cast<int32_t>(range.begin);
    block.end[t / kLanes][t % kLanes] = static_cast<int32_t>(range.end);
  }
}

void visit_tile(const AttentionParams& p, int64_t key_begin, int64_t count, const float* keys, int64_t columns, bool hidden,
                QueryBlock& block) {
  const int64_t d = p.head_dim;
  gemm<false>({keys, d, 1, block.rows, kQueryBlock, block.scores, kQueryBlock, d}, count, columns);
  const UpdateSoftmax update = softmax_for(p.softcap > 0, hidden);
  for (int64_t t = 0; t < columns; t += kLanes) {
    const F32s factor =
        update(p, block.scores + t, key_begin, count, block.begin[t / kLanes], block.end[t / kLanes], block.softmax[t / kLanes]);
    if (key_begin == 0) continue;
    for (int64_t i = 0; i < d; ++i) store(block.sums + i * kQueryBlock + t, load(block.sums + i * kQueryBlock + t) * factor);
  }
  gemm<true>({keys + kKeyTile * d, 1, d, block.scores, kQueryBlock, block.sums, kQueryBlock, count}, d, columns);
}

template <class T> void finish_block(const AttentionParams& p, T* y, int64_t queries, QueryBlock& block) {
  const int64_t d = p.head_dim, columns = round_up(queries);
  for (int64_t t = 0; t < columns; t += kLanes) {
    const F32s total = block.softmax[t / kLanes].total;
    const F32s scale = total > 0.0f ? 1.0f / total : F32s{};  // a query that sees nothing yields zeros
    for (int64_t i = 0; i < d; ++i) store(block.sums + i * kQueryBlock + t, load(block.sums + i * kQueryBlock + t) * scale);
  }
  float* rows = block.rows;  // [queries, round_up(d)], which were used up
  transpose_matrix(block.sums, kQueryBlock, d, columns, rows, round_up(d));
  for (int64_t t = 0; t < queries; ++t) {
    for_vectors(d, [&](int64_t i, auto lanes) { store(y + t * p.y_token + i, load(rows + t * round_up(d) + i), lanes); });
  }
}

template <class T>
void attend(const AttentionParams& p, const T* q, T* y, int64_t query_begin, int64_t queries, int64_t keys, const float* packed,
            int64_t tile_stride) {
  QueryBlock block;
  start_block(p, q, query_begin, queries, keys, block);
  const Range first = visible_keys(p, query_begin, keys), last = visible_keys(p, query_begin + queries - 1, keys);
  for (int64_t tile = first.begin / kKeyTile; tile * kKeyTile < last.end; ++tile) {
    const int64_t begin = tile * kKeyTile, count = keys - begin < kKeyTile ? keys - begin : kKeyTile;
    const bool hidden = begin < last.begin || begin + count > first.end;
    visit_tile(p, begin, count, packed + tile * tile_stride, round_up(queries), hidden, block);
  }
  finish_block(p, y, queries, block);
}

}  // namespace

void attention_pack(const AttentionParams& p, int64_t kv_head, int64_t begin, int64_t count, float* packed) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    const T* k = static_cast<const T*>(p.k) + begin * p.k_token + kv_head * p.k_head;
    const T* v = static_cast<const T*>(p.v) + begin * p.v_token + kv_head * p.v_head;
    widen_rows(k, p.k_token, count, p.head_dim, packed);
    widen_rows(v, p.v_token, count, p.head_dim, packed + kKeyTile * p.head_dim);
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
