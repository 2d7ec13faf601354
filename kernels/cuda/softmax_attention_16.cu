// kernels/cuda/softmax_attention_16.cu: softmax attention of 16-bit types on tensor cores (flash style).
//
// Maths    s = softcap(scale · q kᵀ), masked;  y = Σ_n exp(s_n - m) v_n / Σ_n exp(s_n - m), with the maximum m updated tile by tile.
// Shape    SANA cross attention at 1024²: 2048 queries, 20 heads of 112, 20–300 keys. Gemma-2: 300 queries, 8 heads over 4, d = 256.
// Tiles    block = 64 queries of a head, 4 warps of 16, against tiles of 64 keys (32 for SANA's 112 channels, which lets five blocks share
//          a multiprocessor, and where d > 128). Queries, keys and values lie in shared memory in rows of w + 8 elements, which keeps
//          ldmatrix free of bank conflicts; w = d rounded up to a multiple of 16 that is compiled. The next keys arrive while weights
//          and values are multiplied, the next values during the scores.
// Traffic  q and y once, k and v once for every 64 queries (from the second-level cache).
// Roofline bound by memory on paper: 18 MB = 6 µs, and 5.5 GFLOP = 7 µs at 783 TFLOP/s; 49 µs measured (54 with tiles of 64 and
//          four blocks, 74 with five, whose sums then live in local memory).
// Accuracy scores, weights' sum and result in f32; weights are rounded to the type for their product with the values. Tiles count from the
//          segment's start, so a query's bits depend on nothing but its own segment.
#include <limits>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/softmax_attention.h"

namespace linea::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * 32, kQueries = kWarps * 16;
constexpr float kLog2e = 1.4426950408889634f, kInfinity = std::numeric_limits<float>::infinity();

// Rows [0, rows) of d channels from `from`; the channels beyond d and the rows up to kRows become zeros.
template <int kRows, int kWidth, class T>
__device__ void copy_tile(T* tile, const T* from, int64_t pitch, int rows, const AttentionParams& p) {
  constexpr int kPitch = kWidth + 8, kChunks = kWidth / 8;
  if (p.vectorised) {
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kChunks; i += kThreads) {
      const int row = i / kChunks, c = i % kChunks * 8;
      const bool valid = row < rows && c < p.d;
      copy_async_16(tile + row * kPitch + c, valid ? from + row * pitch + c : from, valid);
    }
    return;
  }
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kWidth; i += kThreads) {
    const int row = i / kWidth, c = i % kWidth;
    tile[row * kPitch + c] = row < rows && c < p.d ? from[row * pitch + c] : from_float<T>(0.0f);
  }
}

// The scores of a warp's 16 queries and kKeys keys: scores[j] holds keys 8j … 8j + 7 as an mma's sums.
template <int kKeys, int kWidth, class T> __device__ void multiply_keys(const T* queries, const T* keys, float (&scores)[kKeys / 8][4]) {
  constexpr int kPitch = kWidth + 8;
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[j][i] = 0;
  }
#pragma unroll
  for (int k = 0; k < kWidth; k += 16) {
    uint32_t a[4];
    load_matrices(a, queries + lane % 16 * kPitch + k + lane / 16 * 8);
#pragma unroll
    for (int j = 0; j < kKeys / 8; j += 2) {
      uint32_t b[4];
      load_matrices(b, keys + (j * 8 + lane / 16 * 8 + lane % 8) * kPitch + k + lane / 8 % 2 * 8);
      multiply<T>(scores[j], a, b[0], b[1]);
      multiply<T>(scores[j + 1], a, b[2], b[3]);
    }
  }
}

// sums += weights · values; the weights' sums of an mma are the next one's left side as they lie.
template <int kKeys, int kWidth, class T>
__device__ void multiply_values(const float (&weights)[kKeys / 8][4], const T* values, float (&sums)[kWidth / 8][4]) {
  constexpr int kPitch = kWidth + 8;
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int k = 0; k < kKeys / 16; ++k) {
    const float(&low)[4] = weights[2 * k], (&high)[4] = weights[2 * k + 1];
    const uint32_t a[4] = {pack_pair<T>(low[0], low[1]), pack_pair<T>(low[2], low[3]), pack_pair<T>(high[0], high[1]),
                           pack_pair<T>(high[2], high[3])};
#pragma unroll
    for (int j = 0; j < kWidth / 8; j += 2) {
      uint32_t b[4];
      load_matrices_transposed(b, values + (k * 16 + lane % 16) * kPitch + j * 8 + lane / 16 * 8);
      multiply<T>(sums[j], a, b[0], b[1]);
      multiply<T>(sums[j + 1], a, b[2], b[3]);
    }
  }
}

// What a thread keeps of its two queries, rows lane / 4 and 8 more of the warp's 16.
struct Softmax {
  float maximum[2] = {-kInfinity, -kInfinity}, total[2] = {0, 0};

  // Scores become weights exp(s - maximum); `factor` is what earlier sums are to be multiplied by. `tile` is the first key's number.
  template <int kTiles>
  __device__ void apply(float (&scores)[kTiles][4], const AttentionParams& p, int64_t query, int64_t tile, int64_t keys,
                        float (&factor)[2]) {
    const bool all_visible = !p.causal && p.window == 0 && tile + kTiles * 8 <= keys;
    float power = p.scale * kLog2e;  // weights are 2^(power · (s - maximum))
    if (p.softcap > 0) {
      cap(scores, p);
      power = kLog2e;
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      if (!all_visible) hide(scores, p, query + 8 * r, tile, keys, r);
      float largest = maximum[r];
#pragma unroll
      for (int j = 0; j < kTiles; ++j) largest = fmaxf(largest, fmaxf(scores[j][2 * r], scores[j][2 * r + 1]));
      largest = max_lanes<4>(largest);
      const float base = largest == -kInfinity ? 0.0f : largest * power;  // nothing visible yet: every weight is exp(-inf) = 0
      factor[r] = exp2_16(fmaf(maximum[r], power, -base));
      float sum = 0;
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& s = scores[j][2 * r + i];
          s = exp2_16(fmaf(s, power, -base));
          sum += s;
        }
      }
      total[r] = total[r] * factor[r] + sum_lanes<4>(sum);
      maximum[r] = largest;
    }
  }

 private:
  template <int kTiles> __device__ static void cap(float (&scores)[kTiles][4], const AttentionParams& p) {
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[j][i] = p.softcap * tanhf(scores[j][i] * p.scale / p.softcap);
    }
  }
  // Row r's keys that its query may not see get no weight.
  template <int kTiles>
  __device__ static void hide(float (&scores)[kTiles][4], const AttentionParams& p, int64_t query, int64_t tile, int64_t keys, int r) {
    const Range visible = visible_keys(p, query, keys);
    const int begin = static_cast<int>(max(visible.begin - tile, int64_t{0})),
              end = static_cast<int>(min(visible.end - tile, int64_t{kTiles * 8})), lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int key = j * 8 + lane % 4 * 2 + i;
        if (key < begin || key >= end) scores[j][2 * r + i] = -kInfinity;
      }
    }
  }
};

// blockIdx: x = query block, y = head, z = member
template <int kWidth, int kKeys, int kBlocks, class T>
__global__ void __launch_bounds__(kThreads, kBlocks) attention_16_kernel(const __grid_constant__ AttentionParams p) {
  constexpr int kPitch = kWidth + 8;
  follow_previous();
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  T* queries = reinterpret_cast<T*>(shared_bytes);  // [query][kPitch]
  T* keys = queries + kQueries * kPitch;            // [key][kPitch]
  T* values = keys + kKeys * kPitch;                // [key][kPitch]
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int head = static_cast<int>(blockIdx.y), key_head = head / p.heads_per_key_head, member = static_cast<int>(blockIdx.z);
  const int first_query = static_cast<int>(blockIdx.x) * kQueries, count = min(kQueries, p.queries - first_query);
  const int64_t segment = p.key_offsets[member], key_count = p.key_offsets[member + 1] - segment;
  const T* q = static_cast<const T*>(p.q) + member * p.q_batch + head * p.q_head + first_query * p.q_token;
  const T* k = static_cast<const T*>(p.k) + segment * p.k_token + key_head * p.k_head;
  const T* v = static_cast<const T*>(p.v) + segment * p.v_token + key_head * p.v_head;
  const auto copy_rows = [&](T* to, const T* from, int64_t pitch, int64_t tile) {
    if (tile < key_count) {
      copy_tile<kKeys, kWidth>(to, from + tile * pitch, pitch, static_cast<int>(min(key_count - tile, int64_t{kKeys})), p);
    }
    commit_copies();
  };

  const int64_t begin = visible_keys(p, first_query, key_count).begin / kKeys * kKeys;
  const int64_t end = visible_keys(p, first_query + count - 1, key_count).end;
  copy_tile<kQueries, kWidth>(queries, q, p.q_token, count, p);
  copy_rows(keys, k, p.k_token, begin);
  copy_rows(values, v, p.v_token, begin);
  float sums[kWidth / 8][4] = {};
  Softmax softmax;
  for (int64_t tile = begin; tile < end; tile += kKeys) {
    float scores[kKeys / 8][4], factor[2];
    wait_copies<1>();
    __syncthreads();
    multiply_keys<kKeys, kWidth>(queries + warp * 16 * kPitch, keys, scores);
    __syncthreads();  // everyone is done with the keys
    copy_rows(keys, k, p.k_token, tile + kKeys);
    softmax.apply(scores, p, first_query + warp * 16 + lane / 4, tile, key_count, factor);
#pragma unroll
    for (int j = 0; j < kWidth / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[j][i] *= factor[i / 2];
    }
    wait_copies<1>();
    __syncthreads();
    multiply_values<kKeys, kWidth>(scores, values, sums);
    __syncthreads();
    copy_rows(values, v, p.v_token, tile + kKeys);
  }

  T* y = static_cast<T*>(p.y) + member * p.y_batch + head * p.y_head + first_query * p.y_token;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int query = warp * 16 + lane / 4 + 8 * r;
    if (query >= count) continue;
    const float inverse = softmax.total[r] > 0 ? 1.0f / softmax.total[r] : 0.0f;  // a query that sees nothing yields zeros
#pragma unroll
    for (int j = 0; j < kWidth / 8; ++j) {
      const int c = j * 8 + lane % 4 * 2;
      const float pair[2] = {sums[j][2 * r] * inverse, sums[j][2 * r + 1] * inverse};
      T* to = y + query * p.y_token + c;
      if (p.vectorised && c < p.d) {
        store(to, pair);
      } else {
        if (c < p.d) to[0] = from_float<T>(pair[0]);
        if (c + 1 < p.d) to[1] = from_float<T>(pair[1]);
      }
    }
  }
}

// kBlocks: a multiprocessor, where fewer registers and more spills pay.
template <int kWidth, int kKeys, int kBlocks, class T> void launch(cudaStream_t stream, const AttentionParams& p, int64_t members) {
  constexpr int kShared = (kQueries + 2 * kKeys) * (kWidth + 8) * static_cast<int>(sizeof(T));
  allow_shared(attention_16_kernel<kWidth, kKeys, kBlocks, T>, kShared, "softmax_attention");
  const dim3 grid(static_cast<unsigned>(ceil_div(p.queries, kQueries)), static_cast<unsigned>(p.heads), static_cast<unsigned>(members));
  launch_chained("softmax_attention", attention_16_kernel<kWidth, kKeys, kBlocks, T>, grid, kThreads, kShared, stream, p);
}

template <class T> void launch(cudaStream_t stream, const AttentionParams& p, int64_t members) {
  if (p.d <= 32) return launch<32, 64, 1, T>(stream, p, members);
  if (p.d <= 64) return launch<64, 64, 1, T>(stream, p, members);
  if (p.d <= 80) return launch<80, 64, 1, T>(stream, p, members);
  if (p.d <= 112) return launch<112, 32, 5, T>(stream, p, members);
  if (p.d <= 128) return launch<128, 64, 1, T>(stream, p, members);
  launch<256, 32, 1, T>(stream, p, members);
}

}  // namespace

void attention_16(cudaStream_t stream, DType type, const AttentionParams& p, int64_t members) {
  type == DType::kBF16 ? launch<__nv_bfloat16>(stream, p, members) : launch<__half>(stream, p, members);
}

}  // namespace linea::cuda
