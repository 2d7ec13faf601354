// Softmax attention of bf16 on matrix units (AMX): scores and sums in f32, weights rounded to bf16 for their product with the values.
//
// Maths    as attention.cpp. The scale is applied to the scores.
// Tiles    32 queries visit up to kTileKeys keys together: their scores (43 KB for 300 keys) become weights where they stand, each row
//          in the first half of its own place. Keys are panels of 32 as weights of a product, values tiles of 32 keys by 16 channels.
// Order    keys count from the segment's start, so a query's result depends on nothing but its own segment.
#include "kernels/cpu/simd/math.h"
#include "kernels/cpu/simd/tile_kernels.h"
#include "kernels/cpu/simd/tiles.h"
#include "kernels/cpu/simd/transpose.h"

namespace linea::cpu::LINEA_ISA {

static_assert(kLanes == 16);

namespace {

constexpr float kMasked = -__builtin_inff();
constexpr int64_t kScorePitch = kTileKeys + 16;  // floats: an odd number of cache lines
constexpr int64_t kPanel = 32;                   // keys of a panel
constexpr int64_t kStep = 32;                    // keys, or channels, that one product adds up

struct Range {
  int64_t begin, end;
};

// 16 rows of 32 values become 16 rows of 16 pairs.
inline void pack_tile(const uint16_t* rows, int64_t pitch, int64_t count, int64_t depth, char* packed) {
  F32s pairs[kLanes];
  for (int r = 0; r < kLanes; ++r) {
    pairs[r] = F32s{};
    if (r < count) __builtin_memcpy(&pairs[r], rows + r * pitch, static_cast<size_t>(2 * depth));
  }
  transpose(pairs);
  for (int r = 0; r < kLanes; ++r) store(reinterpret_cast<float*>(packed) + r * kLanes, pairs[r]);
}

// Rows of w [out, in] in panels of 32, as the right operand; what is missing in the last panel, and in `in` to a multiple of 32, is zero.
inline void pack_panels(const uint16_t* w, int64_t pitch, int64_t in, int64_t out, char* packed) {
  for (int64_t panel = 0; panel < out; panel += kPanel) {
    for (int64_t k = 0; k < in; k += kStep) {
      for (int64_t n = panel; n < panel + kPanel; n += kLanes, packed += kTileBytes)
        pack_tile(w + n * pitch + k, pitch, out - n, in - k < kStep ? in - k : kStep, packed);
    }
  }
}

// Values of `count` keys by 16 channels, of which `channels` exist, as 16 rows of 16 pairs.
inline void pack_values(const uint16_t* v, int64_t pitch, int64_t count, int64_t channels, char* packed) {
  const auto row = [&](int64_t key) {
    U16s values = {};
    if (key < count) __builtin_memcpy(&values, v + key * pitch, static_cast<size_t>(2 * channels));
    return __builtin_convertvector(values, U32s);
  };
  for (int64_t pair = 0; pair < 16; ++pair) {
    const U32s both = row(2 * pair) | row(2 * pair + 1) << 16;
    __builtin_memcpy(packed + pair * 64, &both, sizeof(both));
  }
}

class Queries {
 public:
  Queries(const AttentionParams& params, const BF16* q, int64_t query_begin, int64_t count, int64_t keys, const char* packed, char* scratch)
      : p(params),
        begin(query_begin),
        queries(count),
        all_keys(keys),
        d(params.head_dim),
        channel_tiles((d + 15) / 16),
        row_bytes(row_bytes_in_tiles(d)),
        packed_keys(packed),
        packed_values(packed + (keys + kPanel - 1) / kPanel * packed_panel_bytes(d)),
        rows(scratch),
        scores(reinterpret_cast<float*>(scratch + kTileQueries * row_bytes)),
        sums(scores + kTileQueries * kScorePitch) {
    __builtin_memset(rows, 0, static_cast<size_t>(kTileQueries * row_bytes));
    for (int64_t t = 0; t < queries; ++t) __builtin_memcpy(rows + t * row_bytes, q + t * p.q_token, static_cast<size_t>(2 * d));
    for (int64_t t = 0; t < kTileQueries; ++t) maximum[t] = kMasked, total[t] = 0;
    __builtin_memset(sums, 0, static_cast<size_t>(kTileQueries * sum_pitch() * 4));
  }

  void attend() {
    const Tiles tiles;
    const int64_t first = visible(begin).begin / kTileKeys * kTileKeys, end = visible(begin + queries - 1).end;
    for (int64_t key = first; key < end; key += kTileKeys) {
      const int64_t panels_end = (end - key < kTileKeys ? end - key + kPanel - 1 : kTileKeys) / kPanel;
      const int64_t hidden = visible(begin).begin - key, panels_begin = hidden > 0 ? hidden / kPanel : 0;
      for (int64_t panel = panels_begin; panel < panels_end; ++panel) score(key / kPanel + panel, panel);
      for (int64_t t = 0; t < kTileQueries; ++t) weigh(t, {key + panels_begin * kPanel, key + panels_end * kPanel}, key);
      for (int64_t c = 0; c < channel_tiles; c += 2) {
        c + 2 <= channel_tiles ? add_values<true>(c, key, panels_begin, panels_end) : add_values<false>(c, key, panels_begin, panels_end);
      }
    }
  }

  void store_rows(BF16* y) const {
    for (int64_t t = 0; t < queries; ++t) {
      const float scale = total[t] > 0 ? 1.0f / total[t] : 0.0f;  // a query that sees nothing yields zeros
      for_vectors(d, [&](int64_t i, auto lanes) { store(y + t * p.y_token + i, load(sums + t * sum_pitch() + i) * scale, lanes); });
    }
  }

 private:
  int64_t sum_pitch() const { return channel_tiles * 16; }

  // The keys that a query may see.
  Range visible(int64_t query) const {
    Range range{0, all_keys};
    if (p.causal && query + 1 < all_keys) range.end = query + 1;
    if (p.window > 0 && query - p.window + 1 > 0) range.begin = query - p.window + 1;
    return range;
  }

  void score(int64_t panel, int64_t place) {
    const int64_t steps = (d + kStep - 1) / kStep;
    const char* b = packed_keys + panel * steps * 2 * kTileBytes;
    tile_zero<0>(), tile_zero<1>(), tile_zero<2>(), tile_zero<3>();
    for (int64_t s = 0; s < steps; ++s)
      multiply_two_by_two(rows + s * 64, rows + 16 * row_bytes + s * 64, row_bytes, b + s * 2 * kTileBytes);
    float* to = scores + place * kPanel;
    tile_store<0>(to, kScorePitch * 4), tile_store<1>(to + 16, kScorePitch * 4);
    tile_store<2>(to + 16 * kScorePitch, kScorePitch * 4), tile_store<3>(to + 16 * kScorePitch + 16, kScorePitch * 4);
  }

  // Scores of keys [range.begin, range.end), whole panels, become weights; what was summed before is brought to the new maximum.
  void weigh(int64_t t, Range range, int64_t first_key) {
    float* row = scores + t * kScorePitch + (range.begin - first_key);
    char* weights = reinterpret_cast<char*>(scores + t * kScorePitch) + 2 * (range.begin - first_key);
    const int64_t count = range.end - range.begin;
    const Range seen = t < queries ? visible(begin + t) : Range{0, 0};
    const bool all = seen.begin <= range.begin && seen.end >= range.end;
    F32s largest = splat(kMasked);
    for (int64_t i = 0; i < count; i += kLanes) {
      F32s s = load(row + i) * p.scale;
      if (p.softcap > 0) s = tanh(s * (1.0f / p.softcap)) * p.softcap;
      if (!all) s = hide(s, range.begin + i, seen);
      store(row + i, s);
      largest = max(s, largest);
    }
    const float tile_maximum = horizontal_max(largest), next = tile_maximum > maximum[t] ? tile_maximum : maximum[t];
    if (next == kMasked) return __builtin_memset(weights, 0, static_cast<size_t>(2 * count)), void();  // nothing visible yet
    F32s sum = {};
    for (int64_t i = 0; i < count; i += 2 * kLanes) {
      F32s low = load(row + i), high = load(row + i + kLanes);
      low = weight_of(low, next, all), high = weight_of(high, next, all);
      sum += low + high;
      store_pair(weights + 2 * i, low, high);
    }
    const float factor = maximum[t] == kMasked ? 0.0f : exp_nonpositive(splat(maximum[t] - next))[0];
    total[t] = total[t] * factor + horizontal_sum(sum);
    maximum[t] = next;
    if (factor == 1.0f || factor == 0.0f) return;  // sums of nothing are zero already
    for (int64_t i = 0; i < sum_pitch(); i += kLanes) store(sums + t * sum_pitch() + i, load(sums + t * sum_pitch() + i) * factor);
  }

  static F32s weight_of(F32s s, float largest, bool all) {
    const F32s weight = exp_nonpositive(s - largest);
    return all ? weight : s == kMasked ? F32s{} : weight;
  }

  static F32s hide(F32s s, int64_t first_key, Range seen) {
    I32s key;
    for (int c = 0; c < kLanes; ++c) key[c] = c;
    const int32_t begin_lane = static_cast<int32_t>(seen.begin - first_key), end_lane = static_cast<int32_t>(seen.end - first_key);
    return (key >= begin_lane) & (key < end_lane) ? s : splat(kMasked);
  }

  // Channels of tile c, and of the next if kTwo, of the sums += weights · values.
  template <bool kTwo> void add_values(int64_t c, int64_t first_key, int64_t panels_begin, int64_t panels_end) {
    const int64_t pitch = sum_pitch() * 4;
    float *low = sums + c * 16, *high = low + 16 * sum_pitch();
    tile_load<0>(low, pitch), tile_load<2>(high, pitch);
    if constexpr (kTwo) tile_load<1>(low + 16, pitch), tile_load<3>(high + 16, pitch);
    for (int64_t panel = panels_begin; panel < panels_end; ++panel) {
      const char* a = reinterpret_cast<const char*>(scores) + panel * 64;
      const char* b = packed_values + ((first_key / kPanel + panel) * channel_tiles + c) * kTileBytes;
      if constexpr (kTwo) {
        multiply_two_by_two(a, a + 16 * kScorePitch * 4, kScorePitch * 4, b);
      } else {
        tile_load<6>(b, 64);
        tile_load<4>(a, kScorePitch * 4), tile_multiply<0, 4, 6>();
        tile_load<5>(a + 16 * kScorePitch * 4, kScorePitch * 4), tile_multiply<2, 5, 6>();
      }
    }
    tile_store<0>(low, pitch), tile_store<2>(high, pitch);
    if constexpr (kTwo) tile_store<1>(low + 16, pitch), tile_store<3>(high + 16, pitch);
  }

  const AttentionParams& p;
  const int64_t begin, queries, all_keys, d, channel_tiles, row_bytes;
  const char *packed_keys, *packed_values;
  char* rows;
  float *scores, *sums;
  float maximum[kTileQueries], total[kTileQueries];
};

}  // namespace

void tile_attention_pack(const AttentionParams& p, int64_t kv_head, int64_t key_begin, int64_t keys, void* packed) {
  const auto* k = static_cast<const uint16_t*>(p.k) + key_begin * p.k_token + kv_head * p.k_head;
  const auto* v = static_cast<const uint16_t*>(p.v) + key_begin * p.v_token + kv_head * p.v_head;
  const int64_t panels = (keys + kPanel - 1) / kPanel;
  pack_panels(k, p.k_token, p.head_dim, keys, static_cast<char*>(packed));
  char* to = static_cast<char*>(packed) + panels * packed_panel_bytes(p.head_dim);
  for (int64_t key = 0; key < keys; key += kPanel) {
    for (int64_t c = 0; c < p.head_dim; c += kLanes, to += kTileBytes) {
      pack_values(v + key * p.v_token + c, p.v_token, keys - key, p.head_dim - c < kLanes ? p.head_dim - c : kLanes, to);
    }
  }
}

void tile_attention(const AttentionParams& p, int64_t batch, int64_t head, int64_t query_begin, int64_t query_end, int64_t keys,
                    const void* packed, void* scratch) {
  const auto* q = static_cast<const BF16*>(p.q) + batch * p.q_batch + head * p.q_head + query_begin * p.q_token;
  auto* y = static_cast<BF16*>(p.y) + batch * p.y_batch + head * p.y_head + query_begin * p.y_token;
  Queries work(p, q, query_begin, query_end - query_begin, keys, static_cast<const char*>(packed), static_cast<char*>(scratch));
  work.attend();
  work.store_rows(y);
}

}  // namespace linea::cpu::LINEA_ISA
