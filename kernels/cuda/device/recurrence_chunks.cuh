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
//   decays of channels, read before the write   Y = (q e^{Gx_t}) S_0 + P V,   S_C = e^{G_C} S_0 + (k e^{h_t})ᵀ V,   Gx_t = G_t - l_t
//     P_ts = Σ_d q_td k_sd e^{Gx_td - G_sd} for s < t: of a pair of neighbouring blocks of 8, 4, 2 or 1 tokens, t in the second and s in
//     the first, the exponent is a sum from the blocks' border to t and one from s to the border, so that four products give all pairs
// The first form needs e^{-h} to be small: 16 tokens of RWKV-7 have at most e^9.7. The others take any decays, which are only ever added
// up, never subtracted. A warp makes a chunk's operands; tokens beyond the last one are zeros without decay, and change nothing.
#pragma once

#include "kernels/cuda/device/math.cuh"
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
  float log_decay[kChunk], factor[kChunk], growth[kChunk], decay;  // factor: e^{h_t} s_t
  ChunkResults results;
};

// Operands of a chunk with decays of channels that is read before it is written.
template <int kKeys, bool kLow> struct ChannelChunk {
  SplitTile<kKeys, true> q, k;
  SplitTile<kChunk, true> scores;
  SplitTile<kChunkColumns, kLow> v;
  float decay[kKeys];
  ChunkResults results;
};

// Where a chunk lies: tokens [first, first + count) of one head, the columns from `column` on.
struct ChunkPlace {
  int64_t first, head;
  int count, column;
};

__device__ inline float exp_of(float x) { return exp2_16(x * 1.44269504f); }

// A lane's kWords neighbouring words of every token's row, zeros for tokens that do not exist. All are asked for before one is used.
template <int kWords> struct RawRows {
  Pack<uint32_t, kWords> row[kChunk];

  template <class T> __device__ void read(const T* from, int64_t token_pitch, int count) {
#pragma unroll
    for (int t = 0; t < kChunk; ++t, from += token_pitch) {
      row[t] = {};
      if (t < count) row[t] = *reinterpret_cast<const Pack<uint32_t, kWords>*>(from);
    }
  }
  // As the columns of a tile, the first lane's first.
  template <class T, int kColumns, bool kLow> __device__ void put(SplitTile<kColumns, kLow>& tile, int lane) const {
#pragma unroll
    for (int t = 0; t < kChunk; ++t) {
#pragma unroll
      for (int i = 0; i < kWords; ++i) tile.template put_word<T>(t, 2 * (lane * kWords + i), row[t].element[i]);
    }
  }
};

template <class T> __device__ inline const T* row_of(const void* base, int64_t token_pitch, const ChunkPlace& at, int64_t offset) {
  return static_cast<const T*>(base) + at.first * token_pitch + offset;
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

// The vectors of a chunk with the delta rule on their way from memory.
template <class T, int kKeys> struct DeltaVectors {
  static constexpr int kWords = kKeys / 64;
  static_assert(kWords == 1);
  RawRows<kWords> q, k, a, b, v;
  RawRows<2 * kWords> log_decay;

  __device__ void read(const RecurrenceParams& p, const ChunkPlace& at, int lane) {
    const int own = 2 * lane;
    const int64_t group = at.head / p.heads_per_group;
    const auto rows = [&](RawRows<kWords>& to, const void* base, int64_t token, int64_t offset) {
      to.read(row_of<T>(base, token, at, offset + own), token, at.count);
    };
    log_decay.read(row_of<float>(p.log_decay, p.decay_token, at, at.head * p.decay_head + own), p.decay_token, at.count);
    rows(q, p.q, p.q_token, group * p.q_head);
    rows(k, p.k, p.k_token, group * p.k_head);
    rows(b, p.b, p.b_token, at.head * p.b_head);
    rows(a, p.a, p.a_token, at.head * p.a_head);
    rows(v, p.v, p.v_token, at.head * p.v_head + at.column);
  }
};

// R, A, K, B and the decay of the whole chunk, from its last token to its first.
template <class T, int kKeys, bool kLow>
__device__ inline void put_decayed(DeltaChunk<kKeys, kLow>& chunk, const DeltaVectors<T, kKeys>& vectors, int lane) {
  const int own = 2 * lane;
  float after[2] = {}, shrink[2] = {1.0f, 1.0f}, grow[2] = {1.0f, 1.0f};  // h_t, e^h, e^-h
#pragma unroll
  for (int t = kChunk - 1; t >= 0; --t) {
    const auto put = [&](SplitTile<kKeys, true>& tile, const RawRows<1>& x, float by0, float by1) {
      float x0, x1;
      unpack_pair<T>(x.row[t].element[0], x0, x1);
      tile.put_pair(t, own, x0 * by0, x1 * by1);
    };
    put(chunk.r, vectors.q, grow[0], grow[1]);
    put(chunk.k, vectors.k, shrink[0], shrink[1]);
    put(chunk.b, vectors.b, -shrink[0], -shrink[1]);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      after[i] += __uint_as_float(vectors.log_decay.row[t].element[i]);
      shrink[i] = exp_of(after[i]);
      grow[i] = exp_of(-after[i]);
    }
    put(chunk.w, vectors.a, grow[0], grow[1]);
  }
  store(&chunk.decay[own], shrink);
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
__device__ inline void make_chunk(DeltaChunk<kKeys, kLow>& chunk, const DeltaVectors<T, kKeys>& vectors, int lane) {
  vectors.v.template put<T>(chunk.v, lane);
  put_decayed(chunk, vectors, lane);
  __syncwarp();
  solve_chunk(chunk, lane);
}

// The vectors of a chunk with one decay for a head, and lane t's log decay and factor of the values.
template <class T, int kKeys> struct ScalarVectors {
  static constexpr int kWords = kKeys / 64;
  RawRows<kWords> q, k;
  RawRows<1> v;
  float log_decay, scale;

  __device__ void read(const RecurrenceParams& p, const ChunkPlace& at, int lane) {
    const int own = 2 * kWords * lane;
    const int64_t group = at.head / p.heads_per_group;
    q.read(row_of<T>(p.q, p.q_token, at, group * p.q_head + own), p.q_token, at.count);
    k.read(row_of<T>(p.k, p.k_token, at, group * p.k_head + own), p.k_token, at.count);
    v.read(row_of<T>(p.v, p.v_token, at, at.head * p.v_head + at.column + 2 * lane), p.v_token, at.count);
    log_decay = scale = 0.0f;  // of tokens that do not exist
    if (lane >= at.count) return;
    const int64_t t = at.first + lane;
    if (p.step) {
      scale = evaluate(to_float(static_cast<const T*>(p.step)[t * p.step_token + at.head]) + p.step_bias[at.head], Function::kSoftplus);
      log_decay = scale * p.step_rate[at.head];
    } else {
      scale = p.value_scale ? p.value_scale[t * p.scale_token + at.head] : 1.0f;
      log_decay = p.log_decay ? p.log_decay[t * p.decay_token + at.head * p.decay_head] : 0.0f;
    }
  }
};

// e^{G_t - G_s} s_s for s <= t, else 0: what is before scores are multiplied.
struct ScalarDecays {
  static constexpr int kPitch = kChunk + 2;
  float between[kChunk][kPitch];
};
static_assert(sizeof(ScalarDecays) <= sizeof(ChunkResults));

// Lane s sums the decays of the tokens up to s, after s, and from s to every later token.
template <class T, int kKeys, bool kLow>
__device__ inline void put_decays(ScalarChunk<kKeys, kLow>& chunk, const ScalarVectors<T, kKeys>& vectors, int lane) {
  if (lane < kChunk) chunk.log_decay[lane] = vectors.log_decay;
  __syncwarp();
  if (lane < kChunk) {
    auto& decays = *reinterpret_cast<ScalarDecays*>(&chunk.results);
    float up_to = 0.0f, after = 0.0f;  // G_s, Σ of the tokens in (s, t]
#pragma unroll
    for (int t = 0; t < kChunk; ++t) {
      const float log = chunk.log_decay[t];
      if (t <= lane) {
        up_to += log;
      } else {
        after += log;
      }
      decays.between[t][lane] = t < lane ? 0.0f : exp_of(after) * vectors.scale;
    }
    chunk.growth[lane] = exp_of(up_to);
    chunk.factor[lane] = exp_of(after) * vectors.scale;
    if (lane == kChunk - 1) chunk.decay = exp_of(up_to);
  }
  __syncwarp();
}

// tril(q kᵀ e^{G_t - G_s} s_s)
template <int kKeys, bool kLow> __device__ inline void put_scores(ScalarChunk<kKeys, kLow>& chunk, int lane) {
  const auto& decays = *reinterpret_cast<const ScalarDecays*>(&chunk.results);
  Sums scores = {};
#pragma unroll
  for (int key = 0; key < kKeys; key += 16)
    multiply_split<kLow, kLow>(scores, chunk.q.left_rows(key, lane), chunk.k.template right_rows<kLow>(key, lane));
#pragma unroll
  for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float d[2];
      load(&decays.between[lane / 4 + 8 * half][tile * 8 + lane % 4 * 2], d);
      scores[tile][2 * half] *= d[0];
      scores[tile][2 * half + 1] *= d[1];
    }
  }
  chunk.scores.put_sums(0, scores, lane);
}

template <class T, int kKeys, bool kLow>
__device__ inline void make_chunk(ScalarChunk<kKeys, kLow>& chunk, const ScalarVectors<T, kKeys>& vectors, int lane) {
  constexpr int kWords = ScalarVectors<T, kKeys>::kWords;
  vectors.q.template put<T>(chunk.q, lane);
  vectors.v.template put<T>(chunk.v, lane);
#pragma unroll
  for (int t = 0; t < kChunk; ++t) {
#pragma unroll
    for (int i = 0; i < kWords; ++i) chunk.k.template put_word<T, kLow>(t, 2 * (lane * kWords + i), vectors.k.row[t].element[i]);
  }
  put_decays(chunk, vectors, lane);
  put_scores(chunk, lane);
  __syncwarp();
#pragma unroll
  for (int t = 0; t < kChunk; ++t) {
    const float factor = chunk.factor[t];
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      float a, b;
      unpack_pair<T>(vectors.k.row[t].element[i], a, b);
      chunk.k.put_pair(t, 2 * (lane * kWords + i), a * factor, b * factor);
    }
  }
}

// The vectors of a chunk with decays of channels.
template <class T, int kKeys> struct ChannelVectors {
  static_assert(kKeys == 64);
  RawRows<1> q, k, v;
  RawRows<2> log_decay;

  __device__ void read(const RecurrenceParams& p, const ChunkPlace& at, int lane) {
    const int own = 2 * lane;
    const int64_t group = at.head / p.heads_per_group;
    log_decay.read(row_of<float>(p.log_decay, p.decay_token, at, at.head * p.decay_head + own), p.decay_token, at.count);
    q.read(row_of<T>(p.q, p.q_token, at, group * p.q_head + own), p.q_token, at.count);
    k.read(row_of<T>(p.k, p.k_token, at, group * p.k_head + own), p.k_token, at.count);
    v.read(row_of<T>(p.v, p.v_token, at, at.head * p.v_head + at.column + own), p.v_token, at.count);
  }
};

// Puts a lane's two channels of rows [first, first + kRows) into the tile, each times e to the decays of the rows between it and the first
// one (kForwards) or the last one. `sums` begins with the decays beyond that end and takes up those of the rows.
template <class T, bool kForwards, int kRows, int kColumns>
__device__ inline void put_faded(SplitTile<kColumns, true>& tile, const RawRows<1>& x, const RawRows<2>& log_decay, int first, int lane,
                                 float (&sums)[2]) {
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const int t = kForwards ? first + i : first + kRows - 1 - i;
    float x0, x1;
    unpack_pair<T>(x.row[t].element[0], x0, x1);
    tile.put_pair(t, 2 * lane, x0 * exp_of(sums[0]), x1 * exp_of(sums[1]));
#pragma unroll
    for (int c = 0; c < 2; ++c) sums[c] += __uint_as_float(log_decay.row[t].element[c]);
  }
}

// Adds the scores of neighbouring blocks of kBlock tokens: keys of the first and queries of the second are rows of one tile.
template <class T, int kBlock, int kKeys, bool kLow>
__device__ inline void add_scores(ChannelChunk<kKeys, kLow>& chunk, const ChannelVectors<T, kKeys>& vectors, int lane, Sums& scores) {
#pragma unroll
  for (int first = 0; first < kChunk; first += 2 * kBlock) {
    float before[2] = {}, after[2] = {};
    put_faded<T, false, kBlock>(chunk.q, vectors.k, vectors.log_decay, first, lane, before);
    put_faded<T, true, kBlock>(chunk.q, vectors.q, vectors.log_decay, first + kBlock, lane, after);
  }
  __syncwarp();
  Sums products = {};
#pragma unroll
  for (int key = 0; key < kKeys; key += 16)
    multiply_split<true, true>(products, chunk.q.left_rows(key, lane), chunk.q.right_rows(key, lane));
  __syncwarp();
#pragma unroll
  for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int t = (lane / 4 + i / 2 * 8) / kBlock, s = (tile * 8 + lane % 4 * 2 + i % 2) / kBlock;
      if (t % 2 == 1 && s == t - 1) scores[tile][i] += products[tile][i];
    }
  }
}

template <class T, int kKeys, bool kLow>
__device__ inline void make_chunk(ChannelChunk<kKeys, kLow>& chunk, const ChannelVectors<T, kKeys>& vectors, int lane) {
  vectors.v.template put<T>(chunk.v, lane);
  Sums scores = {};
  add_scores<T, 8>(chunk, vectors, lane, scores);
  add_scores<T, 4>(chunk, vectors, lane, scores);
  add_scores<T, 2>(chunk, vectors, lane, scores);
  add_scores<T, 1>(chunk, vectors, lane, scores);
  chunk.scores.put_sums(0, scores, lane);
  float up_to[2] = {}, after[2] = {};
  put_faded<T, true, kChunk>(chunk.q, vectors.q, vectors.log_decay, 0, lane, up_to);
  put_faded<T, false, kChunk>(chunk.k, vectors.k, vectors.log_decay, 0, lane, after);
  const float decay[2] = {exp_of(up_to[0]), exp_of(up_to[1])};
  store(&chunk.decay[2 * lane], decay);
}

// y of a chunk whose workers are through. read() asks for what the chunk's operands do not have.
template <class T> struct PlainEnding {
  __device__ void read(const RecurrenceParams&, const ChunkPlace&, int) {}
  template <class Chunk> __device__ void write(const Chunk& chunk, const RecurrenceParams& p, const ChunkPlace& at, int lane) const {
    T* y = static_cast<T*>(p.y) + at.first * p.y_token + at.head * p.y_head + at.column + 2 * lane;
#pragma unroll
    for (int t = 0; t < kChunk; ++t, y += p.y_token) {
      float values[2];
      load(&chunk.results.y[t][2 * lane], values);
      if (t < at.count) store(y, values);
    }
  }
};

// With the skip and the gate, where there are any.
template <class T> struct GatedEnding {
  RawRows<1> gates;

  __device__ void read(const RecurrenceParams& p, const ChunkPlace& at, int lane) {
    if (p.gate) gates.read(row_of<T>(p.gate, p.gate_token, at, at.head * p.gate_head + at.column + 2 * lane), p.gate_token, at.count);
  }
  template <int kKeys, bool kLow>
  __device__ void write(const ScalarChunk<kKeys, kLow>& chunk, const RecurrenceParams& p, const ChunkPlace& at, int lane) const {
    T* y = static_cast<T*>(p.y) + at.first * p.y_token + at.head * p.y_head + at.column + 2 * lane;
    const float skip = p.skip ? p.skip[at.head] : 0.0f;
#pragma unroll
    for (int t = 0; t < kChunk; ++t, y += p.y_token) {
      float values[2], own[2], gate[2];
      load(&chunk.results.y[t][2 * lane], values);
      chunk.v.read_pair(t, 2 * lane, own);
      unpack_pair<T>(gates.row[t].element[0], gate[0], gate[1]);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (p.skip) values[i] = fmaf(skip, own[i], values[i]);
        if (p.gate) values[i] *= __fdividef(gate[i], 1.0f + exp_of(-gate[i]));
      }
      if (t < at.count) store(y, values);
    }
  }
};

// Which vectors and which ending belong to a chunk.
template <class T, class Chunk> struct ChunkParts;
template <class T, int kKeys, bool kLow> struct ChunkParts<T, DeltaChunk<kKeys, kLow>> {
  using Vectors = DeltaVectors<T, kKeys>;
  using Ending = PlainEnding<T>;
};
template <class T, int kKeys, bool kLow> struct ChunkParts<T, ChannelChunk<kKeys, kLow>> {
  using Vectors = ChannelVectors<T, kKeys>;
  using Ending = PlainEnding<T>;
};
template <class T, int kKeys, bool kLow> struct ChunkParts<T, ScalarChunk<kKeys, kLow>> {
  using Vectors = ScalarVectors<T, kKeys>;
  using Ending = GatedEnding<T>;
};

}  // namespace linea::cuda
