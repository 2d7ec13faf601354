// kernels/cuda/softmax_attention_hopper.cu: softmax attention of 16-bit types on sm_90's warpgroup products, for many queries on few keys.
//
// Maths    s = scale · q kᵀ;  y = Σ_n exp(s_n - m) v_n / Σ_n exp(s_n - m),  m = max_n s_n
// Shape    SANA-1.6B's cross attention at 1024²: 2 members of 1024 queries, 20 heads of 112, up to 300 keys.
// Tiles    a block keeps all keys and values of a head (at most 320, in tiles of 80) in shared memory and walks over its share of the
//          queries: two warpgroups take 64 at a time, so that one's exponentials run beside the other's products, and a warpgroup's own
//          beside its products too: the second half of the keys is multiplied while the largest score of the first is sought, and values
//          tile by tile as their weights are there. All scores of a query are in registers together, 160 a thread, and need no correction
//          later; queries and weights are the products' left side in registers too. The copy engine brings everything, the next queries
//          meanwhile, and stores results. Where rounds are many, they are dealt out evenly, and a block goes on with the next head when it
//          is through with one; where few, a block has a part of one head.
// Traffic  q and y once, k and v once a block from the second-level cache.
// Roofline bound by memory on paper: 18 MB = 6 µs; 5.5 GFLOP = 7 µs at 800 TFLOP/s, and 6 µs of exponentials. 16 µs measured in a chain
//          of calls: 2.5 until the keys are there, 1.5 until the first scores, three rounds of 4 for either warpgroup (2.5 of products).
// e4m3     all results of a member have one scale, that of its largest value, which bounds them: e4m3 is precise over 2^15.
// Accuracy scores, weights' sum and result in f32; weights are rounded to the type for their product with the values. A query's bits depend
//          on nothing but its own segment.
#include <algorithm>
#include <array>
#include <limits>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/e4m3_rows.cuh"
#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/device_facts.h"
#include "kernels/cuda/initcheck.h"
#include "kernels/cuda/softmax_attention.h"
#include "kernels/cuda/tensor_map.h"

namespace linea::cuda {
namespace {

constexpr int kGroups = 2, kGroupThreads = 128, kThreads = kGroups * kGroupThreads, kQueries = 64;
constexpr int kKeyTile = 80, kMostTiles = 4, kMostKeys = kMostTiles * kKeyTile;
constexpr int kRowBytes = 128, kBlockBytes = kMostKeys * kRowBytes;
constexpr float kLog2e = 1.4426950408889634f, kInfinity = std::numeric_limits<float>::infinity();

// Shared memory, all in rows of 64 columns (128 bytes, swizzled): keys, values, each group's queries, each group's results.
template <int kWidth> struct Layout {
  static constexpr int kBlocks = (kWidth + 63) / 64, kTileBytes = kKeyTile * kRowBytes, kMatrixBytes = kBlocks * kBlockBytes;
  static constexpr int kQueryBlockBytes = kQueries * kRowBytes, kQueryBytes = kBlocks * kQueryBlockBytes;
  static constexpr int kBytes = 2 * kMatrixBytes + 2 * kGroups * kQueryBytes;
};
static_assert(Layout<112>::kBytes + 64 <= 227 << 10);

// q, y: [d, heads, queries, members]; k, v: [d, heads, tokens, 1]
struct AttentionBoxes {
  CUtensorMap q, k, v, y;
};

#if LINEA_HOPPER_CODE

struct Barriers {
  uint64_t keys, values, queries[kGroups];
};

// The second warpgroup begins when the first has its first scores (and values): from then on one tends to multiply while the other weighs.
// Taking turns by force was slower.
__device__ inline void wait_for_first_group() { asm volatile("bar.sync 3, %0;" ::"n"(kThreads) : "memory"); }
__device__ inline void let_second_group_begin() { asm volatile("bar.arrive 3, %0;" ::"n"(kThreads) : "memory"); }

__device__ inline void wait_for_group(int group) { asm volatile("bar.sync %0, %1;" ::"r"(group + 1), "n"(kGroupThreads) : "memory"); }

// The scores of a warpgroup's 64 queries; a thread has two queries, lane / 4 of the warp's 16 (the first two of four sums) and 8 more.
template <int kTiles> using Scores = float[kTiles][kKeyTile / 8][4];

// Begins the products of 64 queries with all keys, in two batches.
template <class T, int kWidth, int kTiles>
__device__ void begin_keys(const uint32_t (&queries)[kWidth / 16][4], const char* keys, Scores<kTiles>& scores) {
  begin_products();
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
    const char* tile = keys + t * kKeyTile * kRowBytes;
    multiply_registers<T, 0, 0>(scores[t], queries[0], matrix_descriptor(tile));
#pragma unroll
    for (int k = 1; k < kWidth / 16; ++k) {
      multiply_registers<T, 0, 1>(scores[t], queries[k], matrix_descriptor(tile + k / 4 * kBlockBytes + k % 4 * 32));
    }
    if (t == (kTiles - 1) / 2 || t == kTiles - 1) commit_products();
  }
}

__device__ inline void take_largest(const float (&tile)[kKeyTile / 8][4], float (&largest)[2][2]) {
#pragma unroll
  for (int j = 0; j < kKeyTile / 8; ++j) {
#pragma unroll
    for (int r = 0; r < 2; ++r) largest[r][j % 2] = fmaxf(largest[r][j % 2], fmaxf(tile[j][2 * r], tile[j][2 * r + 1]));
  }
}

// Scores of keys that do not exist, in the last tile.
__device__ inline void drop_scores(float (&tile)[kKeyTile / 8][4], int keys) {
  const int first_column = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int j = 0; j < kKeyTile / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (first_column + j * 8 + i % 2 >= keys) tile[j][i] = -kInfinity;
    }
  }
}

// The largest scores, times `power`, of the thread's two queries; waits for the products.
template <int kTiles> __device__ void find_bases(Scores<kTiles>& scores, float power, int keys, float (&bases)[2]) {
  float largest[2][2] = {{-kInfinity, -kInfinity}, {-kInfinity, -kInfinity}};
  if (kTiles > 1) wait_products<1>();
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
    if (t == (kTiles + 1) / 2 || kTiles == 1) wait_products<0>();
    if (t == kTiles - 1) drop_scores(scores[t], keys - t * kKeyTile);
    take_largest(scores[t], largest);
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) bases[r] = max_lanes<4>(fmaxf(largest[r][0], largest[r][1])) * power;
}

// sums = weights · values, weights = 2^(power · s - base), whose sums are added up too. A tile's scores become weights while the tile
// before is multiplied: as they lie they are the product's left side.
template <class T, int kWidth, int kTiles>
__device__ void weigh_values(const Scores<kTiles>& scores, float power, const float (&bases)[2], const char* values,
                             float (&sums)[kWidth / 8][4], float (&total)[2]) {
  constexpr int kSteps = kKeyTile / 16;
  float parts[2][2] = {};
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
    uint32_t left[kSteps][4];
#pragma unroll
    for (int j = 0; j < kKeyTile / 8; ++j) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float weights[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          weights[i] = exp2_16(fmaf(scores[t][j][2 * r + i], power, -bases[r]));
          parts[r][i] += weights[i];
        }
        left[j / 2][j % 2 * 2 + r] = pack_pair<T>(weights[0], weights[1]);
      }
    }
    begin_products();
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      const uint64_t rows = transposed_descriptor(values + (t * kSteps + k) * 16 * kRowBytes, kBlockBytes);
      t + k == 0 ? multiply_registers<T, 1, 0>(sums, left[k], rows) : multiply_registers<T, 1, 1>(sums, left[k], rows);
    }
    commit_products();
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) total[r] = sum_lanes<4>(parts[r][0] + parts[r][1]);
  wait_products<0>();
}

// A warpgroup's results in the type into shared memory.
template <class T, int kWidth> __device__ void stage_results(char* to, const float (&sums)[kWidth / 8][4], const float (&total)[2]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) % kGroupThreads / 32;
  char* row = to + (warp * 16 + lane / 4) * kRowBytes + lane % 4 * 4;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float inverse = 1.0f / total[r];
#pragma unroll
    for (int j = 0; j < kWidth / 8; ++j) {
      const float pair[2] = {sums[j][2 * r] * inverse, sums[j][2 * r + 1] * inverse};
      char* block = row + j / 8 * Layout<kWidth>::kQueryBlockBytes + 8 * r * kRowBytes;
      store(reinterpret_cast<T*>(block + ((j % 8) ^ (lane / 4)) * 16), pair);
    }
  }
}

// The same as e4m3, times `factor`.
template <int kWidth>
__device__ void stage_narrow_results(char* to, const float (&sums)[kWidth / 8][4], const float (&total)[2], float factor) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) % kGroupThreads / 32;
  char* row = to + (warp * 16 + lane / 4) * kRowBytes + lane % 4 * 2;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float scaled = factor / total[r];
#pragma unroll
    for (int j = 0; j < kWidth / 8; ++j) {
      const float2 pair = {sums[j][2 * r] * scaled, sums[j][2 * r + 1] * scaled};
      char* place = row + 8 * r * kRowBytes + ((j / 2) ^ (lane / 4)) * 16 + j % 2 * 8;
      *reinterpret_cast<__nv_fp8x2_storage_t*>(place) = __nv_cvt_float2_to_fp8x2(pair, __NV_SATFINITE, __NV_E4M3);
    }
  }
}

// A member's head, of whose rounds, each of a tile for either warpgroup, a block has [first, last).
struct Pair {
  int head, key_head, member, first_key, key_count, first_tile, last_tile, rounds;

  __device__ Pair(const AttentionParams& p, int pair, int first, int last)
      : head(pair % p.heads),
        key_head(head / p.heads_per_key_head),
        member(pair / p.heads),
        first_key(static_cast<int>(p.key_offsets[member])),
        key_count(static_cast<int>(p.key_offsets[member + 1]) - first_key),
        first_tile(first * kGroups),
        last_tile(min(last * kGroups, (p.queries + kQueries - 1) / kQueries)),
        rounds(last - first) {}
  __device__ int key_tiles() const { return (key_count + kKeyTile - 1) / kKeyTile; }
  __device__ int tile(int group, int round) const { return first_tile + round * kGroups + group; }
};

// By one thread: asks for the keys or values of a pair. The last tile goes on with another member's.
template <int kWidth> __device__ void ask_for_matrix(char* to, const CUtensorMap& map, uint64_t* barrier, const Pair& pair) {
  using L = Layout<kWidth>;
  arrive_expecting(barrier, pair.key_tiles() * L::kBlocks * L::kTileBytes);
#pragma unroll 1
  for (int t = 0; t < pair.key_tiles(); ++t) {
#pragma unroll
    for (int b = 0; b < L::kBlocks; ++b) {
      copy_box(to + b * kBlockBytes + t * L::kTileBytes, map, barrier, b * 64, pair.key_head, pair.first_key + t * kKeyTile, 0);
    }
  }
}

// By a warpgroup: what the last tile has of another member's values, which must not matter even where they are no numbers.
template <int kWidth> __device__ void clear_end(char* values, int rows) {
  const int end = (rows + kKeyTile - 1) / kKeyTile * kKeyTile;
  for (int i = static_cast<int>(threadIdx.x) % kGroupThreads; i < (end - rows) * 8; i += kGroupThreads) {
#pragma unroll
    for (int b = 0; b < Layout<kWidth>::kBlocks; ++b) *reinterpret_cast<uint4*>(values + b * kBlockBytes + (rows * 8 + i) * 16) = uint4();
  }
}

// A warpgroup's way through the block's queries: tiles group, group + 2, … of a pair's.
template <class T, int kWidth> class Walk {
 public:
  using L = Layout<kWidth>;

  __device__ Walk(const AttentionParams& p, const AttentionBoxes& boxes, char* shared, Barriers& barriers)
      : p_(p),
        boxes_(boxes),
        barriers_(barriers),
        group_(static_cast<int>(threadIdx.x) / kGroupThreads),
        speaks_(threadIdx.x % kGroupThreads == 0),
        keys_(shared),
        values_(keys_ + L::kMatrixBytes),
        queries_(values_ + L::kMatrixBytes + group_ * L::kQueryBytes),
        results_(queries_ + kGroups * L::kQueryBytes) {}

  __device__ void attend(const Pair& pair) {
    if (speaks_ && pair.key_count > 0) {
      ask_for_queries(pair, 0);
      if (group_ == 0) {
        ask_for_matrix<kWidth>(keys_, boxes_.k, &barriers_.keys, pair);
        ask_for_matrix<kWidth>(values_, boxes_.v, &barriers_.values, pair);
      }
    }
    const float factor = find_factor(pair);
    switch (pair.key_tiles()) {
      case 0: store_zeros(pair); break;
      case 1: run<1>(pair, factor); break;
      case 2: run<2>(pair, factor); break;
      case 3: run<3>(pair, factor); break;
      default: run<4>(pair, factor);
    }
    if (pair.key_count > 0) matrix_parity_ ^= 1;
  }
  __device__ void end() {
    if (speaks_) wait_stores_read();
  }

 private:
  __device__ bool has(const Pair& pair, int round) const { return round < pair.rounds && pair.tile(group_, round) < pair.last_tile; }

  __device__ void ask_for_queries(const Pair& pair, int round) {
    if (!speaks_ || !has(pair, round)) return;
    arrive_expecting(barriers_.queries + group_, L::kQueryBytes);
#pragma unroll
    for (int b = 0; b < L::kBlocks; ++b) {
      copy_box(queries_ + b * L::kQueryBlockBytes, boxes_.q, barriers_.queries + group_, b * 64, pair.head,
               pair.tile(group_, round) * kQueries, pair.member);
    }
  }

  // The factor of a member's results as e4m3; the block of the first head writes the scales of its own queries.
  __device__ float find_factor(const Pair& pair) const {
    if (!p_.scales) return 0;
    const float bound = max_lanes(p_.bounds[pair.member * kBoundParts + static_cast<int>(threadIdx.x) % 32]);
    const int last = min(pair.last_tile * kQueries, p_.queries);
    for (int n = pair.first_tile * kQueries + static_cast<int>(threadIdx.x); pair.head == 0 && n < last; n += kThreads) {
      p_.scales[static_cast<int64_t>(pair.member) * p_.queries + n] = e4m3_scale(bound);
    }
    return e4m3_factor(bound);
  }

  // The round's queries as a product's left side.
  __device__ void take_queries(uint32_t (&left)[kWidth / 16][4]) {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) % kGroupThreads / 32;
    wait_phase(barriers_.queries + group_, query_parity_);
    query_parity_ ^= 1;
    const char* row = queries_ + (warp * 16 + lane % 16) * kRowBytes;
#pragma unroll
    for (int k = 0; k < kWidth / 16; ++k) {
      load_matrices(left[k], row + k / 4 * L::kQueryBlockBytes + ((k % 4 * 2 + lane / 16) ^ (lane % 8)) * 16);
    }
  }

  __device__ void store_results(const Pair& pair, int round) {
    publish_shared();
    wait_for_group(group_);
    if (!speaks_) return;
    const int blocks = p_.scales ? 1 : L::kBlocks;
#pragma unroll 1
    for (int b = 0; b < blocks; ++b) {
      store_box(boxes_.y, results_ + b * L::kQueryBlockBytes, b * 64, pair.head, pair.tile(group_, round) * kQueries, pair.member);
    }
    commit_stores();
  }

  template <int kTiles> __device__ void run(const Pair& pair, float factor) {
    const float power = p_.scale * kLog2e;
#pragma unroll 1
    for (int round = 0; has(pair, round); ++round) {
      uint32_t left[kWidth / 16][4];
      float sums[kWidth / 8][4], bases[2], total[2];
      Scores<kTiles> scores;
      take_queries(left);
      if (round == 0) wait_phase(&barriers_.keys, matrix_parity_);
      if (round == 0 && group_ == 1) wait_for_first_group();
      begin_keys<T, kWidth, kTiles>(left, keys_, scores);
      if (speaks_) wait_stores_read();
      wait_for_group(group_);  // everyone has taken queries, and results may be staged
      ask_for_queries(pair, round + 1);
      if (round == 0) wait_for_values(pair);
      find_bases<kTiles>(scores, power, pair.key_count, bases);
      if (round == 0 && group_ == 0) let_second_group_begin();
      weigh_values<T, kWidth, kTiles>(scores, power, bases, values_, sums, total);
      stage(sums, total, factor);
      store_results(pair, round);
    }
    if (group_ == 1 && !has(pair, 0)) wait_for_first_group();
  }

  __device__ void wait_for_values(const Pair& pair) {
    wait_phase(&barriers_.values, matrix_parity_);
    if (group_ == 1) return;
    clear_end<kWidth>(values_, pair.key_count);
    publish_shared();
    wait_for_group(0);
  }

  __device__ void stage(const float (&sums)[kWidth / 8][4], const float (&total)[2], float factor) const {
    p_.scales ? stage_narrow_results<kWidth>(results_, sums, total, factor) : stage_results<T, kWidth>(results_, sums, total);
  }

  // Nothing to attend to.
  __device__ void store_zeros(const Pair& pair) {
    const float sums[kWidth / 8][4] = {}, total[2] = {1, 1};
    for (int round = 0; has(pair, round); ++round) {
      if (speaks_) wait_stores_read();
      wait_for_group(group_);
      stage(sums, total, 0);
      store_results(pair, round);
    }
  }

  const AttentionParams& p_;
  const AttentionBoxes& boxes_;
  Barriers& barriers_;
  const int group_;
  const bool speaks_;  // one thread of the warpgroup
  char *keys_, *values_, *queries_, *results_;
  int matrix_parity_ = 0, query_parity_ = 0;
};

#endif

// How the rounds of all pairs of head and member, each of which is a tile for either warpgroup, are dealt out to blocks.
struct Deal {
  int rounds_of_pair, rounds;  // of all pairs
  int rounds_of_block;         // that are one pair's; 0: all rounds evenly, so that a block may end one pair and begin the next

  __device__ int first(int block) const {
    if (rounds_of_block == 0) return static_cast<int>(int64_t{block} * rounds / static_cast<int>(gridDim.x));
    const int shares = (rounds_of_pair + rounds_of_block - 1) / rounds_of_block;
    return block / shares * rounds_of_pair + block % shares * rounds_of_block;
  }
};

template <int kWidth, class T>
__global__ void __launch_bounds__(kThreads, 1)
    hopper_attention_kernel(const __grid_constant__ AttentionParams p, const __grid_constant__ AttentionBoxes boxes, Deal deal) {
#if LINEA_HOPPER_CODE
  extern __shared__ __align__(1024) char shared_bytes[];
  __shared__ Barriers barriers;
  if (threadIdx.x == 0) {
    init_barrier(&barriers.keys, 1);
    init_barrier(&barriers.values, 1);
    for (uint64_t& queries : barriers.queries) init_barrier(&queries, 1);
    publish_barriers();
  }
  Walk<T, kWidth> walk(p, boxes, shared_bytes, barriers);
  const auto pair_from = [&](int round, int end) {
    const int pair = round / deal.rounds_of_pair, first = round - pair * deal.rounds_of_pair;
    return Pair(p, pair, first, min(deal.rounds_of_pair, first + end - round));
  };
  int round = deal.first(static_cast<int>(blockIdx.x));
  const int end = deal.first(static_cast<int>(blockIdx.x) + 1);
  Pair pair = pair_from(round, end);
  __syncthreads();  // the barriers are there
  follow_previous();
  while (true) {
    walk.attend(pair);
    round += pair.rounds;
    if (round >= end) break;
    __syncthreads();  // nobody reads the keys and values any more
    pair = pair_from(round, end);
  }
  walk.end();
#endif
}

// blockIdx: x = part, y = member
constexpr int kBoundThreads = 256;
static_assert(kBoundParts == 32, "a lane reads a part");
template <class T> __global__ void __launch_bounds__(kBoundThreads) bound_kernel(const __grid_constant__ AttentionParams p, float* bounds) {
  __shared__ float maxima[kBoundThreads / 32];
  follow_previous();
  const int member = static_cast<int>(blockIdx.y), thread = static_cast<int>(threadIdx.x), vectors = p.d / kVector,
            row_vectors = p.heads / p.heads_per_key_head * vectors;
  const T* v = static_cast<const T*>(p.v) + p.key_offsets[member] * p.v_token;
  const int count = static_cast<int>(p.key_offsets[member + 1] - p.key_offsets[member]) * row_vectors;
  float largest = 0;
  for (int i = static_cast<int>(blockIdx.x) * kBoundThreads + thread; i < count; i += kBoundParts * kBoundThreads) {
    const int row = i / row_vectors, within = i % row_vectors;
    float values[kVector];
    load(v + row * p.v_token + within / vectors * p.v_head + within % vectors * kVector, values);
#pragma unroll
    for (const float value : values) largest = fmaxf(largest, fabsf(value));
  }
  largest = max_lanes(largest);
  if (thread % 32 == 0) maxima[thread / 32] = largest;
  __syncthreads();
  if (thread > 0) return;
  for (const float other : maxima) largest = fmaxf(largest, other);
  bounds[member * kBoundParts + static_cast<int>(blockIdx.x)] = largest;
}

// As little as possible of loading keys for few queries, and of a last wave that fills a part of the machine.
struct Dealt {
  Deal deal;
  int64_t blocks;
};
Dealt deal_out(int tiles, int64_t pairs, int64_t processors) {
  constexpr double kLoading = 0.5;  // of the time of a round
  const int rounds = static_cast<int>(ceil_div(tiles, kGroups));
  const int64_t all = pairs * rounds, even_blocks = std::min(processors, all);
  // Dealt out evenly, a block has parts of two pairs, or of more where pairs are short.
  Dealt best = {{rounds, static_cast<int>(all), 0}, even_blocks};
  double best_cost = static_cast<double>(ceil_div(all, even_blocks)) + kLoading * static_cast<double>(2 + all / even_blocks / rounds);
  for (int share = 1; share <= rounds; ++share) {
    const int64_t blocks = pairs * ceil_div(rounds, share);
    const double cost = static_cast<double>(ceil_div(blocks, processors)) * (share + kLoading);
    if (cost < best_cost) {
      best = {{rounds, static_cast<int>(all), share}, blocks};
      best_cost = cost;
    }
  }
  return best;
}

AttentionBoxes boxes_of(DType type, const AttentionParams& p, int64_t members) {
  const auto boxes = [](DType form, const void* data, const std::array<int64_t, 4>& dims, const std::array<int64_t, 3>& strides, int rows) {
    const int64_t bytes = bytes_of(form), pitches[] = {strides[0] * bytes, strides[1] * bytes, strides[2] * bytes};
    const int box[] = {static_cast<int>(kRowBytes / bytes), 1, rows, 1};
    return tensor_map("softmax_attention", form, data, dims, pitches, box);
  };
  const int64_t tokens = std::max<int64_t>(p.key_offsets[members], 1);
  const std::array<int64_t, 4> queries = {p.d, p.heads, p.queries, members}, keys = {p.d, p.heads / p.heads_per_key_head, tokens, 1};
  return {.q = boxes(type, p.q, queries, {p.q_head, p.q_token, p.q_batch}, kQueries),
          .k = boxes(type, p.k, keys, {p.k_head, p.k_token, p.k_token}, kKeyTile),
          .v = boxes(type, p.v, keys, {p.v_head, p.v_token, p.v_token}, kKeyTile),
          .y = boxes(p.scales ? DType::kF8E4M3 : type, p.y, queries, {p.y_head, p.y_token, p.y_batch}, kQueries)};
}

// Zeros as results, where every head's lie beside the one before.
void mark_results(cudaStream_t stream, DType type, const AttentionParams& p, int64_t members) {
  const int64_t bytes = p.scales ? 1 : bytes_of(type);
  for (int64_t b = 0; b < members; ++b) {
    check(cudaMemset2DAsync(static_cast<char*>(p.y) + b * p.y_batch * bytes, static_cast<size_t>(p.y_token * bytes), 0,
                            static_cast<size_t>(p.heads * p.d * bytes), static_cast<size_t>(p.queries), stream),
          "softmax_attention", "cudaMemset2DAsync");
  }
}

template <int kWidth, class T> void launch(cudaStream_t stream, DType type, const AttentionParams& p, int64_t members, int processors) {
  constexpr int kShared = Layout<kWidth>::kBytes;
  allow_shared(hopper_attention_kernel<kWidth, T>, kShared, "softmax_attention");
  const Dealt dealt = deal_out(static_cast<int>(ceil_div(p.queries, kQueries)), members * p.heads, processors);
  launch_chained("softmax_attention", hopper_attention_kernel<kWidth, T>, static_cast<unsigned>(dealt.blocks), kThreads, kShared, stream, p,
                 boxes_of(type, p, members), dealt.deal);
}

template <class T> void launch(cudaStream_t stream, DType type, const AttentionParams& p, int64_t members, int processors) {
  if (p.d <= 80) return launch<80, T>(stream, type, p, members, processors);
  launch<112, T>(stream, type, p, members, processors);
}

}  // namespace

bool is_hopper_attention(int device, const AttentionParams& p, int64_t keys) {
  constexpr int kManyQueries = 256, kNarrow = 64;  // below, the keys' way into shared memory costs too much
  return p.vectorised && !p.causal && p.window == 0 && p.softcap == 0 && p.d > kNarrow && p.d <= 112 && p.queries >= kManyQueries &&
         keys <= kMostKeys && is_hopper(device) && has_tensor_maps();
}

void value_bounds(cudaStream_t stream, DType type, const AttentionParams& p, int64_t members, float* bounds) {
  const dim3 grid(kBoundParts, static_cast<unsigned>(members));
  const auto kernel = type == DType::kBF16 ? bound_kernel<__nv_bfloat16> : bound_kernel<__half>;
  launch_chained("softmax_attention", kernel, grid, kBoundThreads, 0, stream, p, bounds);
}

void hopper_attention(cudaStream_t stream, DType type, const AttentionParams& p, int64_t members, int device) {
  const int processors = processors_of(device);
  if (marks_results()) mark_results(stream, type, p, members);
  type == DType::kBF16 ? launch<__nv_bfloat16>(stream, type, p, members, processors) : launch<__half>(stream, type, p, members, processors);
}

}  // namespace linea::cuda
