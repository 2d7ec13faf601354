// kernels/cuda/device/recurrence_chunks.cuh: sixteen tokens of a linear attention as operands of matrix products.
//
// With S_0 [dk, dv] before the chunk and S_C after it, l the log decays, h_t = Σ_{s>t} l_s within the chunk (arXiv 2406.06484 §3 and
// 2503.14456; rows are tokens):
//   decays of channels and the delta rule       R = q e^{-h_t},  A = a e^{-h_{t-1}},  K = k e^{h_t},  B = -b e^{h_t},  S' = e^{h_{-1}} S_0
//     X = (I - tril(A Bᵀ, -1))⁻¹                W = X A,  U = X tril(A Kᵀ, -1)
//     E = W S' + U V                            what a reads from the state, token by token
//     Y = R S' + tril(R Kᵀ) V + tril(R Bᵀ) E,   S_C = S' + Kᵀ V + Bᵀ E
//   one decay for a head                        Y = e^{G_t} (q S_0) + tril(q kᵀ e^{G_t - G_s} s_s) V,   S_C = e^{G_C} S_0 + (k e^{h_t}
//   s_t)ᵀ V
// The first form needs e^{-h} to be small: 16 tokens of RWKV-7 have at most e^9.7. The second takes any decays, which are only ever added
// up, never subtracted. A warp makes a chunk's operands; tokens beyond the last one are zeros without decay, and change nothing.
#pragma once

#include "kernels/cuda/device/recurrence.cuh"
#include "kernels/cuda/device/split_products.cuh"

namespace linea::cuda {

constexpr int kChunk = 16, kChunkColumns = 64;

// Results of a chunk, and before them room for what its operands are made of.
struct alignas(16) ChunkResults {
  static constexpr int kPitch = kChunkColumns + 4;
  float y[kChunk][kPitch];
};

// Operands of the delta rule's chunk. kLow: values have more bits than bf16.
template <int kKeys, bool kLow> struct DeltaChunk {
  SplitTile<kKeys, true> r, w, k, b;                         // w: A until W replaces it
  SplitTile<kChunk, true> values, from_values, from_erased;  // U, tril(R Kᵀ), tril(R Bᵀ)
  SplitTile<kChunkColumns, kLow> v;
  float decay[kKeys];
  ChunkResults results;
};

// Operands of a chunk with one decay for a head. kLow: queries and values have more bits than bf16.
template <int kKeys, bool kLow> struct ScalarChunk {
  SplitTile<kKeys, kLow> q;
  SplitTile<kKeys, true> k;
  SplitTile<kChunk, true> scores;
  SplitTile<kChunkColumns, kLow> v;
  float log_decay[kChunk], scale[kChunk], growth[kChunk], decay;
  ChunkResults results;
};

// Where a chunk lies: tokens [first, first + count) of one head, the columns from `column` on.
struct ChunkPlace {
  int64_t first, head;
  int count, column;
};

template <int kWidth, class T> struct RawRows { Pack<T, kWidth> row[kChunk]; };

// A lane's kWidth neighbours of every token's row.
template <int kWidth, class T>
__device__ inline RawRows<kWidth, T> read_rows(const void* base, int64_t token_pitch, const ChunkPlace& at, int64_t offset) {
  const T* from = static_cast<const T*>(base) + at.first * token_pitch + offset;
  RawRows<kWidth, T> rows;
#pragma unroll
  for (int t = 0; t < kChunk; ++t) {
    if (t < at.count) {
      rows.row[t] = *reinterpret_cast<const Pack<T, kWidth>*>(from + t * token_pitch);
    } else {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) rows.row[t].element[i] = from_float<T>(0.0f);
    }
  }
  return rows;
}

template <int kColumns, bool kLow, int kWidth, class T>
__device__ inline void put_rows(SplitTile<kColumns, kLow>& tile, const RawRows<kWidth, T>& rows, int lane) {
#pragma unroll
  for (int t = 0; t < kChunk; ++t) {
#pragma unroll
    for (int i = 0; i < kWidth; i += 2)
      tile.put_pair(t, lane * kWidth + i, to_float(rows.row[t].element[i]), to_float(rows.row[t].element[i + 1]));
  }
}

// Keeps of row t and column s what is before (s < t), or up to (s <= t) the token itself.
template <bool kInclusive> __device__ inline void keep_lower(Sums& sums, int lane) {
#pragma unroll
  for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int t = lane / 4 + i / 2 * 8, s = tile * 8 + lane % 4 * 2 + i % 2;
      if (kInclusive ? s > t : s >= t) sums[tile][i] = 0.0f;
    }
  }
}

// X = (I - L)⁻¹ of a strictly lower triangular L, column by column; both halves of the warp do the same.
struct LowerInverse {
  static constexpr int kPitch = kChunk + 4;
  float lower[kChunk][kPitch];
  SplitTile<kChunk, true> inverse;

  __device__ void solve(const Sums& l, int lane) {
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) lower[lane / 4 + i / 2 * 8][tile * 8 + lane % 4 * 2 + i % 2] = l[tile][i];
    }
    __syncwarp();
    const int column = lane % kChunk;
    float x[kChunk];
#pragma unroll
    for (int t = 0; t < kChunk; ++t) {
      float sums[4] = {t == column ? 1.0f : 0.0f, 0, 0, 0};
#pragma unroll
      for (int s = 0; s < t; s += 4) {
        float row[4];
        load(&lower[t][s], row);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (s + i < t) sums[i] = fmaf(row[i], x[s + i], sums[i]);
        }
      }
      x[t] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
    if (lane < kChunk) {
#pragma unroll
      for (int t = 0; t < kChunk; ++t) {
        const __nv_bfloat16 high = from_float<__nv_bfloat16>(x[t]);
        inverse.high[t][column] = high;
        inverse.low[t][column] = from_float<__nv_bfloat16>(x[t] - to_float(high));
      }
    }
    __syncwarp();
  }
};
static_assert(sizeof(LowerInverse) <= sizeof(ChunkResults));

// R, A, K, B and the decay of the whole chunk, from its last token to its first.
template <class T, int kKeys, bool kLow>
__device__ inline void put_decayed(DeltaChunk<kKeys, kLow>& chunk, const RecurrenceParams& p, const ChunkPlace& at, int lane) {
  constexpr int kWidth = kKeys / 32;
  static_assert(kWidth == 2);
  const int own = lane * kWidth;
  const int64_t group = at.head / p.heads_per_group;
  const auto q = read_rows<kWidth, T>(p.q, p.q_token, at, group * p.q_head + own),
             k = read_rows<kWidth, T>(p.k, p.k_token, at, group * p.k_head + own);
  const auto a = read_rows<kWidth, T>(p.a, p.a_token, at, at.head * p.a_head + own),
             b = read_rows<kWidth, T>(p.b, p.b_token, at, at.head * p.b_head + own);
  const auto l = read_rows<kWidth, float>(p.log_decay, p.decay_token, at, at.head * p.decay_head + own);
  float after[kWidth] = {}, shrink[kWidth] = {1.0f, 1.0f}, grow[kWidth] = {1.0f, 1.0f};  // h_t, e^h, e^-h
#pragma unroll
  for (int t = kChunk - 1; t >= 0; --t) {
    const auto put = [&](SplitTile<kKeys, true>& tile, const Pack<T, kWidth>& x, const float(&by)[kWidth], float sign) {
      tile.put_pair(t, own, sign * to_float(x.element[0]) * by[0], sign * to_float(x.element[1]) * by[1]);
    };
    put(chunk.r, q.row[t], grow, 1.0f);
    put(chunk.k, k.row[t], shrink, 1.0f);
    put(chunk.b, b.row[t], shrink, -1.0f);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      after[i] += l.row[t].element[i];
      shrink[i] = expf(after[i]);
      grow[i] = expf(-after[i]);
    }
    put(chunk.w, a.row[t], grow, 1.0f);
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) chunk.decay[own + i] = shrink[i];
}

// The products within a chunk of what put_decayed() has put.
template <int kKeys, bool kLow> __device__ inline void solve_chunk(DeltaChunk<kKeys, kLow>& chunk, int lane) {
  Sums erase_keys = {}, erase_values = {}, read_values = {}, read_erased = {};
#pragma unroll
  for (int key = 0; key < kKeys; key += 16) {
    const SplitFragment a = chunk.w.left_rows(key, lane), r = chunk.r.left_rows(key, lane);
    const SplitFragment b = chunk.b.right_rows(key, lane), k = chunk.k.right_rows(key, lane);
    multiply_split<true, true>(erase_keys, a, b);
    multiply_split<true, true>(erase_values, a, k);
    multiply_split<true, true>(read_values, r, k);
    multiply_split<true, true>(read_erased, r, b);
  }
  keep_lower<false>(erase_keys, lane);
  keep_lower<false>(erase_values, lane);
  keep_lower<true>(read_values, lane);
  keep_lower<true>(read_erased, lane);
  chunk.from_values.put_sums(0, read_values, lane);
  chunk.from_erased.put_sums(0, read_erased, lane);
  chunk.values.put_sums(0, erase_values, lane);
  auto& scratch = *reinterpret_cast<LowerInverse*>(&chunk.results);
  scratch.solve(erase_keys, lane);
  const SplitFragment x = scratch.inverse.left_rows(0, lane);
  Sums u = {}, w[kKeys / 16] = {};
  multiply_split<true, true>(u, x, chunk.values.right_columns(0, lane));
#pragma unroll
  for (int i = 0; i < kKeys / 16; ++i) multiply_split<true, true>(w[i], x, chunk.w.right_columns(16 * i, lane));
  __syncwarp();
  chunk.values.put_sums(0, u, lane);
#pragma unroll
  for (int i = 0; i < kKeys / 16; ++i) chunk.w.put_sums(16 * i, w[i], lane);
}

template <class T, int kKeys, bool kLow>
__device__ inline void make_chunk(DeltaChunk<kKeys, kLow>& chunk, const RecurrenceParams& p, const ChunkPlace& at, int lane) {
  put_rows(chunk.v, read_rows<2, T>(p.v, p.v_token, at, at.head * p.v_head + at.column + 2 * lane), lane);
  put_decayed<T>(chunk, p, at, lane);
  __syncwarp();
  solve_chunk(chunk, lane);
}

// Log decays and factors of a chunk's values; tokens beyond the last have neither.
template <class T, int kKeys, bool kLow>
__device__ inline void put_decays(ScalarChunk<kKeys, kLow>& chunk, const RecurrenceParams& p, const ChunkPlace& at, int lane) {
  if (lane < kChunk) {
    const int64_t t = at.first + lane;
    float log = 0.0f, scale = 0.0f;
    if (lane < at.count) {
      if (p.step) {
        scale = evaluate(to_float(static_cast<const T*>(p.step)[t * p.step_token + at.head]) + p.step_bias[at.head], Function::kSoftplus);
        log = scale * p.step_rate[at.head];
      } else {
        scale = p.value_scale ? p.value_scale[t * p.scale_token + at.head] : 1.0f;
        log = p.log_decay ? p.log_decay[t * p.decay_token + at.head * p.decay_head] : 0.0f;
      }
    }
    chunk.log_decay[lane] = log;
    chunk.scale[lane] = scale;
  }
  __syncwarp();
  if (lane < kChunk) {
    float before = 0.0f;  // G_t
    for (int t = 0; t <= lane; ++t) before += chunk.log_decay[t];
    chunk.growth[lane] = expf(before);
    if (lane == kChunk - 1) chunk.decay = chunk.growth[lane];
  }
}

// tril(q kᵀ e^{G_t - G_s} s_s)
template <int kKeys, bool kLow> __device__ inline void put_scores(ScalarChunk<kKeys, kLow>& chunk, int lane) {
  Sums scores = {}, logs = {};
#pragma unroll
  for (int key = 0; key < kKeys; key += 16) multiply_split<kLow, kLow>(scores, chunk.q.left_rows(key, lane), chunk.k.right_rows(key, lane));
#pragma unroll
  for (int u = 1; u < kChunk; ++u) {
    const float log = chunk.log_decay[u];
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int t = lane / 4 + i / 2 * 8, s = tile * 8 + lane % 4 * 2 + i % 2;
        if (s < u && u <= t) logs[tile][i] += log;
      }
    }
  }
#pragma unroll
  for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[tile][i] *= expf(logs[tile][i]) * chunk.scale[tile * 8 + lane % 4 * 2 + i % 2];
  }
  keep_lower<true>(scores, lane);
  chunk.scores.put_sums(0, scores, lane);
}

template <class T, int kKeys, bool kLow>
__device__ inline void make_chunk(ScalarChunk<kKeys, kLow>& chunk, const RecurrenceParams& p, const ChunkPlace& at, int lane) {
  constexpr int kWidth = kKeys / 32;
  const int own = lane * kWidth;
  const int64_t group = at.head / p.heads_per_group;
  const auto k = read_rows<kWidth, T>(p.k, p.k_token, at, group * p.k_head + own);
  put_rows(chunk.q, read_rows<kWidth, T>(p.q, p.q_token, at, group * p.q_head + own), lane);
  put_rows(chunk.k, k, lane);
  put_rows(chunk.v, read_rows<2, T>(p.v, p.v_token, at, at.head * p.v_head + at.column + 2 * lane), lane);
  put_decays<T>(chunk, p, at, lane);
  __syncwarp();
  put_scores(chunk, lane);
  __syncwarp();
  float after = 0.0f;  // h_t
#pragma unroll
  for (int t = kChunk - 1; t >= 0; --t) {
    const float factor = expf(after) * chunk.scale[t];
#pragma unroll
    for (int i = 0; i < kWidth; i += 2)
      chunk.k.put_pair(t, own + i, to_float(k.row[t].element[i]) * factor, to_float(k.row[t].element[i + 1]) * factor);
    after += chunk.log_decay[t];
  }
}

// y of a chunk's tokens, with the skip and the gate where there are any.
template <class T, class Chunk>
__device__ inline void finish_chunk(const Chunk& chunk, const RecurrenceParams& p, const ChunkPlace& at, int lane) {
  const int own = 2 * lane;
  const float skip = p.skip ? p.skip[at.head] : 0.0f;
  const T* gate = p.gate ? static_cast<const T*>(p.gate) + at.first * p.gate_token + at.head * p.gate_head + at.column + own : nullptr;
  T* y = static_cast<T*>(p.y) + at.first * p.y_token + at.head * p.y_head + at.column + own;
#pragma unroll 4
  for (int t = 0; t < kChunk; ++t) {
    if (t >= at.count) break;
    float values[2], gates[2];
    load(&chunk.results.y[t][own], values);
    if (p.skip) values[0] = fmaf(skip, chunk.v.value(t, own), values[0]), values[1] = fmaf(skip, chunk.v.value(t, own + 1), values[1]);
    if (gate) {
      load(gate + t * p.gate_token, gates);
      values[0] *= silu(gates[0]), values[1] *= silu(gates[1]);
    }
    store(y + t * p.y_token, values);
  }
}

}  // namespace linea::cuda
