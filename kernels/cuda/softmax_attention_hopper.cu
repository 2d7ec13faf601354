// kernels/cuda/softmax_attention_hopper.cu: softmax attention of 16-bit types on sm_90's warpgroup products, for many queries on few keys.
//
// Maths    s = scale · q kᵀ;  y = Σ_n exp(s_n - m) v_n / Σ_n exp(s_n - m),  m = max_n s_n
// Shape    SANA-1.6B's cross attention at 1024²: 2 members of 1024 queries, 20 heads of 112, up to 300 keys.
// Tiles    a block keeps all keys and values of a head (at most 320, in tiles of 80) in shared memory and walks over its share of the
//          queries: two warpgroups take 64 at a time, so that one's exponentials run beside the other's products. All scores of a query
//          are in registers together, 160 a thread, and need no correction later; queries and weights are the products' left side in
//          registers too. The next queries arrive meanwhile. Where rounds are many, they are dealt out evenly, and a block goes on with the
//          next head when it is through with one; where few, a block has a part of one head.
// Traffic  q and y once, k and v once a block from the second-level cache.
// Roofline bound by memory on paper: 18 MB = 6 µs; 5.5 GFLOP = 7 µs at 800 TFLOP/s, and 6 µs of exponentials. 28 µs measured, of which
//          a fifth goes by until the keys are there; one warp a scheduler has too little to do while it waits for its own results.
// e4m3     all results of a member have one scale, that of its largest value, which bounds them: e4m3 is precise over 2^15.
// Accuracy scores, weights' sum and result in f32; weights are rounded to the type for their product with the values. A query's bits depend
//          on nothing but its own segment.
#include <limits>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/e4m3_rows.cuh"
#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/device_facts.h"
#include "kernels/cuda/softmax_attention.h"

namespace linea::cuda {
namespace {

constexpr int kGroups = 2, kGroupThreads = 128, kThreads = kGroups * kGroupThreads, kQueries = 64;
constexpr int kKeyTile = 80, kMostTiles = 4, kMostKeys = kMostTiles * kKeyTile;
constexpr int kRowBytes = 128, kBlockBytes = kMostKeys * kRowBytes;
constexpr float kLog2e = 1.4426950408889634f, kInfinity = std::numeric_limits<float>::infinity();

// Shared memory: keys and values in column blocks of 64, then each group's queries and results in rows of kWidth + 8.
template <int kWidth> struct Layout {
  static constexpr int kBlocks = (kWidth + 63) / 64, kMatrixBytes = kBlocks * kBlockBytes, kQueryPitch = kWidth + 8;
  static constexpr int kNarrowPitch = kWidth + 32;  // of results in e4m3
  static constexpr int kBytes = 2 * kMatrixBytes + 2 * kGroups * kQueries * kQueryPitch * 2;
};

#if LINEA_HOPPER_CODE

// Rows are copied by kRowThreads threads each, of which some idle: their places cost no division.
constexpr int kRowThreads = 16;

// Keys or values into column blocks as the products want them, the last tile filled up with zeros.
template <int kWidth, class T> __device__ void copy_matrix(char* to, const T* from, int64_t pitch, int rows, int d) {
  const int padded = (rows + kKeyTile - 1) / kKeyTile * kKeyTile, chunk = static_cast<int>(threadIdx.x) % kRowThreads;
  if (chunk >= kWidth / 8) return;
#pragma unroll 1  // code that runs once comes slower than what it asks for
  for (int row = static_cast<int>(threadIdx.x) / kRowThreads; row < padded; row += kThreads / kRowThreads) {
    const bool valid = row < rows && chunk * 8 < d;
    char* place = to + chunk / 8 * kBlockBytes + row * kRowBytes + ((chunk % 8) ^ (row % 8)) * 16;
    copy_async_16(place, valid ? from + row * pitch + chunk * 8 : from, valid);
  }
}

template <int kWidth, class T> __device__ void copy_queries(T* to, const T* from, int64_t pitch, int rows, int d) {
  const int thread = static_cast<int>(threadIdx.x) % kGroupThreads, c = thread % kRowThreads * 8;
  if (c >= kWidth) return;
#pragma unroll 1
  for (int row = thread / kRowThreads; row < kQueries; row += kGroupThreads / kRowThreads) {
    const bool valid = row < rows && c < d;
    copy_async_16(to + row * Layout<kWidth>::kQueryPitch + c, valid ? from + row * pitch + c : from, valid);
  }
}

// The second warpgroup begins when the first has its first scores: from then on one tends to multiply while the other weighs. Taking turns
// by force was slower.
__device__ inline void wait_for_first_group() { asm volatile("bar.sync 3, %0;" ::"n"(kThreads) : "memory"); }
__device__ inline void let_second_group_begin() { asm volatile("bar.arrive 3, %0;" ::"n"(kThreads) : "memory"); }

__device__ inline void wait_for_group(int group) { asm volatile("bar.sync %0, %1;" ::"r"(group + 1), "n"(kGroupThreads) : "memory"); }

// The scores of a warpgroup's 64 queries; a thread has two queries, lane / 4 of the warp's 16 (the first two of four sums) and 8 more.
template <int kTiles> using Scores = float[kTiles][kKeyTile / 8][4];

template <class T, int kWidth, int kTiles>
__device__ void multiply_keys(const uint32_t (&queries)[kWidth / 16][4], const char* keys, Scores<kTiles>& scores) {
  begin_products();
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
    const char* tile = keys + t * kKeyTile * kRowBytes;
    multiply_registers<T, 0, 0>(scores[t], queries[0], matrix_descriptor(tile));
#pragma unroll
    for (int k = 1; k < kWidth / 16; ++k) {
      multiply_registers<T, 0, 1>(scores[t], queries[k], matrix_descriptor(tile + k / 4 * kBlockBytes + k % 4 * 32));
    }
  }
  commit_products();
  wait_products<0>();
}

// Scores become weights 2^(power · (s - maximum)); those of keys that do not exist, in the last tile, become zeros.
template <int kTiles> __device__ void weigh(Scores<kTiles>& scores, float power, int keys, float (&total)[2]) {
  const int first_column = (kTiles - 1) * kKeyTile + static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int j = 0; j < kKeyTile / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (first_column + j * 8 + i % 2 >= keys) scores[kTiles - 1][j][i] = -kInfinity;
    }
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float largest[2] = {-kInfinity, -kInfinity}, sums[2] = {0, 0};
#pragma unroll
    for (int n = 0; n < kTiles * kKeyTile / 8; ++n) {
      const float(&s)[4] = scores[n / (kKeyTile / 8)][n % (kKeyTile / 8)];
      largest[n % 2] = fmaxf(largest[n % 2], fmaxf(s[2 * r], s[2 * r + 1]));
    }
    const float base = max_lanes<4>(fmaxf(largest[0], largest[1])) * power;
#pragma unroll
    for (int n = 0; n < kTiles * kKeyTile / 8; ++n) {
      float(&s)[4] = scores[n / (kKeyTile / 8)][n % (kKeyTile / 8)];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        s[2 * r + i] = exp2_16(fmaf(s[2 * r + i], power, -base));
        sums[i] += s[2 * r + i];
      }
    }
    total[r] = sum_lanes<4>(sums[0] + sums[1]);
  }
}

// sums = weights · values; the scores' sums are this product's left side as they lie.
template <class T, int kWidth, int kTiles>
__device__ void multiply_values(const Scores<kTiles>& weights, const char* values, float (&sums)[kWidth / 8][4]) {
  constexpr int kSteps = kKeyTile / 16;
  uint32_t a[kTiles * kSteps][4];
#pragma unroll
  for (int k = 0; k < kTiles * kSteps; ++k) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float(&pair)[4] = weights[k / kSteps][k % kSteps * 2 + i / 2];
      a[k][i] = pack_pair<T>(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
    }
  }
  begin_products();
  multiply_registers<T, 1, 0>(sums, a[0], transposed_descriptor(values, kBlockBytes));
#pragma unroll
  for (int k = 1; k < kTiles * kSteps; ++k) {
    multiply_registers<T, 1, 1>(sums, a[k], transposed_descriptor(values + k * 16 * kRowBytes, kBlockBytes));
  }
  commit_products();
  wait_products<0>();
}

// A warpgroup's results in the type into shared memory, in rows like its queries'.
template <class T, int kWidth> __device__ void stage_results(T* to, const float (&sums)[kWidth / 8][4], const float (&total)[2]) {
  constexpr int kPitch = Layout<kWidth>::kQueryPitch;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) % kGroupThreads / 32;
  T* row = to + (warp * 16 + lane / 4) * kPitch + lane % 4 * 2;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float inverse = 1.0f / total[r];
#pragma unroll
    for (int j = 0; j < kWidth / 8; ++j) {
      const float pair[2] = {sums[j][2 * r] * inverse, sums[j][2 * r + 1] * inverse};
      store(row + 8 * r * kPitch + 8 * j, pair);
    }
  }
}

// The same as e4m3, times `factor`.
template <int kWidth>
__device__ void stage_narrow_results(char* to, const float (&sums)[kWidth / 8][4], const float (&total)[2], float factor) {
  constexpr int kPitch = Layout<kWidth>::kNarrowPitch;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) % kGroupThreads / 32;
  char* row = to + (warp * 16 + lane / 4) * kPitch + lane % 4 * 2;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float scaled = factor / total[r];
#pragma unroll
    for (int j = 0; j < kWidth / 8; ++j) {
      const float2 pair = {sums[j][2 * r] * scaled, sums[j][2 * r + 1] * scaled};
      *reinterpret_cast<__nv_fp8x2_storage_t*>(row + 8 * r * kPitch + 8 * j) = __nv_cvt_float2_to_fp8x2(pair, __NV_SATFINITE, __NV_E4M3);
    }
  }
}

// `count` rows to y, from shared memory or as zeros; all in bytes.
__device__ inline void store_results(char* y, int64_t pitch, int count, int row_bytes, const char* from, int from_pitch) {
  const int thread = static_cast<int>(threadIdx.x) % kGroupThreads, c = thread % kRowThreads * 16;
  if (c >= row_bytes) return;
#pragma unroll 2
  for (int row = thread / kRowThreads; row < kQueries; row += kGroupThreads / kRowThreads) {
    if (row >= count) return;
    const uint4 zeros = {0, 0, 0, 0};
    *reinterpret_cast<uint4*>(y + row * pitch + c) = from ? *reinterpret_cast<const uint4*>(from + row * from_pitch + c) : zeros;
  }
}

// A warpgroup's way through the block's queries: tiles group, group + 2, … of `rounds`, the last of which may be empty.
template <class T> struct Walk {
  const AttentionParams& p;
  const T* q;  // of the head
  char* y;
  T *queries, *results;  // of the warpgroup, in shared memory, as are the next two
  const char *keys, *values;
  int first_tile, last_tile, rounds, group, key_count;
  float factor;  // of results in e4m3

  __device__ int tile(int round) const { return first_tile + round * kGroups + group; }
  __device__ int count(int tile) const { return tile < last_tile ? min(kQueries, p.queries - tile * kQueries) : 0; }

  template <int kWidth> __device__ void ask_for_queries(int round) const {
    const int64_t first = int64_t{tile(round)} * kQueries;
    if (count(tile(round)) > 0) copy_queries<kWidth>(queries, q + first * p.q_token, p.q_token, count(tile(round)), p.d);
    commit_copies();
  }

  // The round's queries as a product's left side; asks for the next ones.
  template <int kWidth> __device__ void take_queries(int round, uint32_t (&left)[kWidth / 16][4]) const {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) % kGroupThreads / 32;
    wait_copies<0>();
    wait_for_group(group);
#pragma unroll
    for (int k = 0; k < kWidth / 16; ++k) {
      load_matrices(left[k], queries + (warp * 16 + lane % 16) * Layout<kWidth>::kQueryPitch + k * 16 + lane / 16 * 8);
    }
    wait_for_group(group);  // everyone has read
    ask_for_queries<kWidth>(round + 1);
  }

  template <int kWidth> __device__ void store(int round, const T* from) const {
    const int64_t pitch = p.y_token * value_bytes();
    store_results(y + int64_t{tile(round)} * kQueries * pitch, pitch, count(tile(round)), p.d * value_bytes(),
                  reinterpret_cast<const char*>(from), p.scales ? Layout<kWidth>::kNarrowPitch : Layout<kWidth>::kQueryPitch * 2);
  }
  __device__ int value_bytes() const { return p.scales ? 1 : 2; }

  template <int kWidth, int kTiles> __device__ void run() const {
    const float power = p.scale * kLog2e;
    for (int round = 0; round < rounds; ++round) {
      uint32_t left[kWidth / 16][4];
      float sums[kWidth / 8][4], total[2];
      Scores<kTiles> scores;
      take_queries<kWidth>(round, left);
      if (round == 0 && group == 1) wait_for_first_group();
      multiply_keys<T, kWidth, kTiles>(left, keys, scores);
      if (round == 0 && group == 0) let_second_group_begin();
      weigh<kTiles>(scores, power, key_count, total);
      multiply_values<T, kWidth, kTiles>(scores, values, sums);
      if (p.scales) {
        stage_narrow_results<kWidth>(reinterpret_cast<char*>(results), sums, total, factor);
      } else {
        stage_results<T, kWidth>(results, sums, total);
      }
      wait_for_group(group);
      store<kWidth>(round, results);
    }
  }

  // Nothing to attend to.
  template <int kWidth> __device__ void store_zeros() const {
    for (int round = 0; round < rounds; ++round) store<kWidth>(round, nullptr);
  }
};

#endif

#if LINEA_HOPPER_CODE

// The factor of a member's results; the block of the first head writes the scales of its own queries.
__device__ inline float find_factor(const AttentionParams& p, int member, int head, int first_query, int last_query) {
  if (!p.scales) return 0;
  const float bound = max_lanes(p.bounds[member * kBoundParts + static_cast<int>(threadIdx.x) % 32]);
  for (int n = first_query + static_cast<int>(threadIdx.x); head == 0 && n < last_query; n += kThreads) {
    p.scales[static_cast<int64_t>(member) * p.queries + n] = e4m3_scale(bound);
  }
  return e4m3_factor(bound);
}

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

#if LINEA_HOPPER_CODE

// The rounds [first, last) of a pair.
template <int kWidth, class T> __device__ void attend(const AttentionParams& p, char* shared_bytes, int pair, int first, int last) {
  using L = Layout<kWidth>;
  char *keys = shared_bytes, *values = keys + L::kMatrixBytes;
  T* rows = reinterpret_cast<T*>(values + L::kMatrixBytes);
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads, head = pair % p.heads, key_head = head / p.heads_per_key_head,
            member = pair / p.heads;
  const int64_t segment = p.key_offsets[member];
  const int first_tile = first * kGroups, last_tile = min(last * kGroups, (p.queries + kQueries - 1) / kQueries);
  const int key_count = static_cast<int>(p.key_offsets[member + 1] - segment);
  copy_matrix<kWidth>(keys, static_cast<const T*>(p.k) + segment * p.k_token + key_head * p.k_head, p.k_token, key_count, p.d);
  copy_matrix<kWidth>(values, static_cast<const T*>(p.v) + segment * p.v_token + key_head * p.v_head, p.v_token, key_count, p.d);
  Walk<T> walk = {.p = p,
                  .q = static_cast<const T*>(p.q) + member * p.q_batch + head * p.q_head,
                  .y = static_cast<char*>(p.y) + (member * p.y_batch + head * p.y_head) * (p.scales ? 1 : 2),
                  .queries = rows + group * kQueries * L::kQueryPitch,
                  .results = rows + (kGroups + group) * kQueries * L::kQueryPitch,
                  .keys = keys,
                  .values = values,
                  .first_tile = first_tile,
                  .last_tile = last_tile,
                  .rounds = last - first,
                  .group = group,
                  .key_count = key_count,
                  .factor = 0};
  walk.template ask_for_queries<kWidth>(0);
  walk.factor = find_factor(p, member, head, first_tile * kQueries, min(last_tile * kQueries, p.queries));
  wait_copies<0>();
  publish_shared();
  __syncthreads();
  switch ((walk.key_count + kKeyTile - 1) / kKeyTile) {
    case 0: walk.template store_zeros<kWidth>(); break;
    case 1: walk.template run<kWidth, 1>(); break;
    case 2: walk.template run<kWidth, 2>(); break;
    case 3: walk.template run<kWidth, 3>(); break;
    default: walk.template run<kWidth, 4>();
  }
}

#endif

template <int kWidth, class T>
__global__ void __launch_bounds__(kThreads, 1) hopper_attention_kernel(const __grid_constant__ AttentionParams p, Deal deal) {
#if LINEA_HOPPER_CODE
  extern __shared__ __align__(1024) char shared_bytes[];
  follow_previous();
  const int block = static_cast<int>(blockIdx.x), end = deal.first(block + 1);
  for (int round = deal.first(block); round < end;) {
    const int pair = round / deal.rounds_of_pair, first = round - pair * deal.rounds_of_pair,
              last = min(deal.rounds_of_pair, first + end - round);
    attend<kWidth, T>(p, shared_bytes, pair, first, last);
    round += last - first;
    if (round < end) __syncthreads();  // nobody reads the keys and values any more
  }
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

template <int kWidth, class T> void launch(cudaStream_t stream, const AttentionParams& p, int64_t members, int processors) {
  allow_shared(hopper_attention_kernel<kWidth, T>, Layout<kWidth>::kBytes, "softmax_attention");
  const Dealt dealt = deal_out(static_cast<int>(ceil_div(p.queries, kQueries)), members * p.heads, processors);
  launch_chained("softmax_attention", hopper_attention_kernel<kWidth, T>, static_cast<unsigned>(dealt.blocks), kThreads,
                 Layout<kWidth>::kBytes, stream, p, dealt.deal);
}

template <class T> void launch(cudaStream_t stream, const AttentionParams& p, int64_t members, int processors) {
  if (p.d <= 80) return launch<80, T>(stream, p, members, processors);
  launch<112, T>(stream, p, members, processors);
}

}  // namespace

bool is_hopper_attention(int device, const AttentionParams& p, int64_t keys) {
  constexpr int kManyQueries = 256, kNarrow = 64;  // below, the keys' way into shared memory costs too much
  return p.vectorised && !p.causal && p.window == 0 && p.softcap == 0 && p.d > kNarrow && p.d <= 112 && p.queries >= kManyQueries &&
         keys <= kMostKeys && is_hopper(device);
}

void value_bounds(cudaStream_t stream, DType type, const AttentionParams& p, int64_t members, float* bounds) {
  const dim3 grid(kBoundParts, static_cast<unsigned>(members));
  const auto kernel = type == DType::kBF16 ? bound_kernel<__nv_bfloat16> : bound_kernel<__half>;
  launch_chained("softmax_attention", kernel, grid, kBoundThreads, 0, stream, p, bounds);
}

void hopper_attention(cudaStream_t stream, DType type, const AttentionParams& p, int64_t members, int device) {
  const int processors = processors_of(device);
  type == DType::kBF16 ? launch<__nv_bfloat16>(stream, p, members, processors) : launch<__half>(stream, p, members, processors);
}

}  // namespace linea::cuda
