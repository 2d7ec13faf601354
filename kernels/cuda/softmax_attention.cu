// kernels/cuda/softmax_attention.cu: softmax attention in f32, and the choice between its kernels.
//
// Maths    s = softcap(scale · q kᵀ), masked;  y = Σ_n exp(s_n - m) v_n / Σ_n exp(s_n - m), with the maximum m updated tile by tile.
// Tiles    block = 64 queries of a head against tiles of 64 keys (32 and 32 where d > 128), 16×16 threads of 4×4 (2×2) scores and 4 (2)
//          rows of sums. Queries, then keys and values in turn, lie in shared memory as f32, with rows of w + 4 so that vector loads of 8
//          neighbouring rows meet all banks.
// Traffic  q and y once, k and v once for every 64 queries (from the second-level cache).
// Roofline bound by compute: SANA's cross attention at 1024² is 5.5 GFLOP = 0.1 ms at 60 TFLOP/s.
// Accuracy f32 throughout. Tiles count from the segment's start, so a query's bits depend on nothing but its own segment.
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/softmax_attention.h"

#include <math_constants.h>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/math.cuh"
#include "kernels/cuda/device/tile.cuh"

namespace linea {

namespace cuda {
namespace {

// blockIdx: x = query block, y = head, z = member
template <int kWidth, int kTile>
__global__ void __launch_bounds__(kTileThreads) attention_kernel(const __grid_constant__ AttentionParams p) {
  constexpr int kRows = kTile / 16, kChunks = kWidth / 64, kPitch = kWidth + 4, kScorePitch = kTile + 4;
  extern __shared__ __align__(16) float shared[];
  float* queries = shared;                 // [query][kPitch]
  float* keys = queries + kTile * kPitch;  // [key][kPitch]: keys, then values
  float* weights = keys + kTile * kPitch;  // [query][kScorePitch]
  const int tx = static_cast<int>(threadIdx.x) % 16, ty = static_cast<int>(threadIdx.x) / 16;
  const int head = static_cast<int>(blockIdx.y), key_head = head / p.heads_per_key_head, member = static_cast<int>(blockIdx.z);
  const int first_query = static_cast<int>(blockIdx.x) * kTile, count = min(kTile, p.queries - first_query);
  const int64_t segment = p.key_offsets[member], key_count = p.key_offsets[member + 1] - segment;
  const float* q = static_cast<const float*>(p.q) + member * p.q_batch + head * p.q_head + first_query * p.q_token;
  const float* k = static_cast<const float*>(p.k) + segment * p.k_token + key_head * p.k_head;
  const float* v = static_cast<const float*>(p.v) + segment * p.v_token + key_head * p.v_head;
  const auto same = [](float a) { return a; };
  const float scale = p.scale;
  load_tile<kTile, kWidth>(queries, kPitch, q, p.q_token, count, p.d, [scale](float a) { return a * scale; });

  float sums[kRows][kChunks][4] = {}, maximum[kRows], total[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    maximum[r] = -CUDART_INF_F;
    total[r] = 0;
  }
  const int64_t first_visible = visible_keys(p, first_query, key_count).begin;
  const int64_t last_visible = visible_keys(p, first_query + count - 1, key_count).end;
  for (int64_t tile = first_visible / kTile * kTile; tile < last_visible; tile += kTile) {
    const int tile_keys = static_cast<int>(min(static_cast<int64_t>(kTile), key_count - tile));
    __syncthreads();
    load_tile<kTile, kWidth>(keys, kPitch, k + tile * p.k_token, p.k_token, tile_keys, p.d, same);
    __syncthreads();

    // Scores of the queries ty·kRows + r and the keys tx + 16·c.
    float scores[kRows][kRows] = {};
    for (int i = 0; i < p.d; i += 4) {
      float a[kRows][4], b[kRows][4];
#pragma unroll
      for (int r = 0; r < kRows; ++r) load(queries + (ty * kRows + r) * kPitch + i, a[r]);
#pragma unroll
      for (int c = 0; c < kRows; ++c) load(keys + (tx + 16 * c) * kPitch + i, b[c]);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
#pragma unroll
        for (int c = 0; c < kRows; ++c) {
#pragma unroll
          for (int j = 0; j < 4; ++j) scores[r][c] = fmaf(a[r][j], b[c][j], scores[r][c]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const Range visible = visible_keys(p, first_query + ty * kRows + r, key_count);
      float largest = maximum[r];
#pragma unroll
      for (int c = 0; c < kRows; ++c) {
        const int64_t key = tile + tx + 16 * c;
        if (p.softcap > 0) scores[r][c] = p.softcap * tanhf(scores[r][c] / p.softcap);
        if (key < visible.begin || key >= visible.end) scores[r][c] = -CUDART_INF_F;
        largest = fmaxf(largest, scores[r][c]);
      }
      largest = max_lanes<16>(largest);
      const float base = largest == -CUDART_INF_F ? 0.0f : largest;  // nothing visible yet: every weight is exp(-inf) = 0
      const float factor = expf(maximum[r] - base);
      float sum = 0;
#pragma unroll
      for (int c = 0; c < kRows; ++c) {
        const float weight = expf(scores[r][c] - base);
        weights[(ty * kRows + r) * kScorePitch + tx + 16 * c] = weight;
        sum += weight;
      }
      total[r] = total[r] * factor + sum_lanes<16>(sum);
      maximum[r] = largest;
#pragma unroll
      for (int m = 0; m < kChunks; ++m) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[r][m][j] *= factor;
      }
    }
    __syncthreads();
    load_tile<kTile, kWidth>(keys, kPitch, v + tile * p.v_token, p.v_token, tile_keys, p.d, same);
    __syncthreads();
    // Keys beyond the tile's weigh nothing.
    for (int n = 0; n < tile_keys; ++n) {
      float w[kRows], values[4];
#pragma unroll
      for (int r = 0; r < kRows; ++r) w[r] = weights[(ty * kRows + r) * kScorePitch + n];
#pragma unroll
      for (int m = 0; m < kChunks; ++m) {
        load(keys + n * kPitch + m * 64 + tx * 4, values);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int j = 0; j < 4; ++j) sums[r][m][j] = fmaf(w[r], values[j], sums[r][m][j]);
        }
      }
    }
  }

  float* y = static_cast<float*>(p.y) + member * p.y_batch + head * p.y_head + first_query * p.y_token;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int query = ty * kRows + r;
    if (query >= count) return;
    const float inverse = total[r] > 0 ? 1.0f / total[r] : 0.0f;  // a query that sees nothing yields zeros
#pragma unroll
    for (int m = 0; m < kChunks; ++m) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int c = m * 64 + tx * 4 + j;
        if (c < p.d) y[query * p.y_token + c] = sums[r][m][j] * inverse;
      }
    }
  }
}

template <int kWidth, int kTile> void launch(cudaStream_t stream, const AttentionParams& p, int64_t members) {
  constexpr int kShared = (2 * kTile * (kWidth + 4) + kTile * (kTile + 4)) * static_cast<int>(sizeof(float));
  allow_shared(attention_kernel<kWidth, kTile>, kShared, "softmax_attention");
  const dim3 grid(static_cast<unsigned>(ceil_div(p.queries, kTile)), static_cast<unsigned>(p.heads), static_cast<unsigned>(members));
  attention_kernel<kWidth, kTile><<<grid, kTileThreads, kShared, stream>>>(p);
  check_launch("softmax_attention");
}

// Whether every head of every row is a run of whole aligned vectors.
bool is_vectorised(const Tensor& t) {
  bool whole = reinterpret_cast<uintptr_t>(t.raw()) % 16 == 0 && t.dim(-1) % 8 == 0;
  for (int i = 0; i + 1 < t.rank(); ++i) whole = whole && t.stride(i) % 8 == 0;
  return whole;
}

}  // namespace

void attention_f32(cudaStream_t stream, const AttentionParams& p, int64_t members) {
  if (p.d <= 64) return launch<64, 64>(stream, p, members);
  if (p.d <= 128) return launch<128, 64>(stream, p, members);
  launch<256, 32>(stream, p, members);
}

}  // namespace cuda

using namespace cuda;

void CudaBackend::softmax_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& y,
                                    const AttentionArgs& args) {
  const int64_t batch = q.dim(0), d = q.dim(3);
  LINEA_ASSERT(d <= 256);
  const Arena::Scope scope(*ctx.arena);
  const bool bytes = y.scales.defined();
  // Of a member whose kernel gives no e4m3.
  const Tensor wide = bytes ? ctx.allocate(q.shape(), q.dtype()) : y.values;
  const Tensor bounds = bytes && !args.value_bounds.defined() ? ctx.allocate({batch, kBoundParts}, DType::kF32) : args.value_bounds;
  if (ctx.planning() || q.elements() == 0) return;
  const cudaStream_t stream = enter();
  const auto params = [&](const Tensor& target, int64_t first) {
    return cuda::AttentionParams{.q = q.slice(0, first, 1).raw(),
                                 .k = k.raw(),
                                 .v = v.raw(),
                                 .y = target.slice(0, first, 1).raw(),
                                 .q_batch = q.stride(0),
                                 .q_token = q.stride(1),
                                 .q_head = q.stride(2),
                                 .y_batch = target.stride(0),
                                 .y_token = target.stride(1),
                                 .y_head = target.stride(2),
                                 .k_token = k.stride(0),
                                 .k_head = k.stride(1),
                                 .v_token = v.stride(0),
                                 .v_head = v.stride(1),
                                 .d = static_cast<int>(d),
                                 .queries = static_cast<int>(q.dim(1)),
                                 .heads = static_cast<int>(q.dim(2)),
                                 .heads_per_key_head = static_cast<int>(q.dim(2) / k.dim(1)),
                                 .scale = args.scale,
                                 .softcap = args.softcap,
                                 .window = args.window,
                                 .causal = args.causal,
                                 .vectorised = is_vectorised(q) && is_vectorised(k) && is_vectorised(v) && is_vectorised(wide),
                                 .key_offsets = {}};
  };
  const cuda::AttentionParams any = params(wide, 0);
  const auto on_hopper = [&](int64_t member) {
    const int64_t keys = args.key_offsets[static_cast<size_t>(member) + 1] - args.key_offsets[static_cast<size_t>(member)];
    return q.dtype() != DType::kF32 && is_hopper_attention(device_.index, any, keys);
  };
  for (int64_t first = 0, members = 0; first < batch; first += members) {
    const bool hopper = on_hopper(first), direct = bytes && hopper && d % 16 == 0;
    members = 1;
    while (first + members < batch && members < kMembersPerLaunch && on_hopper(first + members) == hopper) ++members;
    cuda::AttentionParams p = params(direct ? y.values : wide, first);
    std::copy_n(args.key_offsets.begin() + first, members + 1, p.key_offsets);
    if (direct) {
      float* own = bounds.data<float>() + first * kBoundParts;
      p.scales = y.scales.slice(0, first, members).data<float>();
      p.bounds = own;
      if (!args.value_bounds.defined()) cuda::value_bounds(stream, q.dtype(), p, members, own);
    }
    if (hopper) {
      hopper_attention(stream, q.dtype(), p, members, device_.index);
    } else {
      q.dtype() == DType::kF32 ? attention_f32(stream, p, members) : attention_16(stream, q.dtype(), p, members);
    }
    if (bytes && !direct) {
      const auto rows = [&](const Tensor& t) { return t.slice(0, first, members).reshape({members, q.dim(1), q.dim(2) * d}); };
      quantize_rows(stream, rows(wide), rows(y.values), y.scales.slice(0, first, members));
    }
  }
}

void CudaBackend::value_bounds(Context&, const Tensor& v, std::span<const int64_t> key_offsets, const Tensor& bounds) {
  const int64_t batch = static_cast<int64_t>(key_offsets.size()) - 1;
  const cudaStream_t stream = enter();
  for (int64_t first = 0; first < batch; first += kMembersPerLaunch) {
    const int64_t members = std::min<int64_t>(batch - first, kMembersPerLaunch);
    cuda::AttentionParams p = {};
    p.v = v.raw();
    p.v_token = v.stride(0);
    p.v_head = v.stride(1);
    p.d = static_cast<int>(v.dim(2));
    p.heads = static_cast<int>(v.dim(1));
    p.heads_per_key_head = 1;
    std::copy_n(key_offsets.begin() + first, members + 1, p.key_offsets);
    cuda::value_bounds(stream, v.dtype(), p, members, bounds.data<float>() + first * kBoundParts);
  }
}

}  // namespace linea
