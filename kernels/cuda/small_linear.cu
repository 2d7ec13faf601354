// kernels/cuda/small_linear.cu: products of matrices with one to a few rows, several in one launch.
//
// Maths    y[r, o] = residual + gate ⊙ f(act(bias[o] + Σ_i W[o, i] x[r, i])); W of x's type, or e4m3 with a scale a row
// Shape    a decode step of RWKV-7 7.2B: one row; W of 4096×4096 three times and four of 96 to 480 rows at once, then 16384×4096,
//          4096×16384 and 65536×4096.
// Tiles    one to eight warps of a block share an output, so that small matrices fill the machine too and large ones keep long runs. A
//          lane reads 16 bytes of W at a time, eight reads in flight, past the first-level cache; x comes from that cache.
// Traffic  W once: 14.4 GB a token of 7.2B in 16 bits.
// Roofline bound by memory: 11 µs at 2.98 TB/s for 4096×4096.
// Accuracy f32, one rounding. The order of a sum depends on the shape of W alone.
#include "kernels/cuda/small_linear.h"

#include <cuda_fp8.h>

#include "kernels/cuda/device/products.cuh"

namespace linea {

namespace cuda {
namespace {

constexpr int64_t kMostRows = 16, kMostMemberRows = 4;  // beyond, tensor cores read W fewer times
constexpr int kWarps = 8, kAhead = 8;
constexpr int64_t kEnoughWarps = 8192;       // twice what 132 processors hold
constexpr int64_t kLeastVectorsOfAWarp = 4;  // a lane's share, below which splitting a sum further only adds work

// 16 bytes of W as floats.
template <class W> __device__ inline void widen(const uint4& raw, float (&v)[16 / sizeof(W)]) { load(reinterpret_cast<const W*>(&raw), v); }
template <> __device__ inline void widen<__nv_fp8_e4m3>(const uint4& raw, float (&v)[16]) {
  const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const auto pair = static_cast<__nv_fp8x2_storage_t>(words[i / 2] >> 16 * (i % 2) & 0xffff);
    const float2 values = __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(pair, __NV_E4M3)));
    v[2 * i] = values.x;
    v[2 * i + 1] = values.y;
  }
}

// Adds this warp's part of an output's sums for kRows rows of x. The first reads of W begin before x is there.
template <int kRows, class T, class W>
__device__ inline void accumulate(const Product& p, int output, int part, int64_t first_row, int64_t rows, float (&sums)[kRows]) {
  constexpr int kWidth = 16 / sizeof(W);
  const int step = 32 * p.splits, vectors = p.vectors;
  const T* x = static_cast<const T*>(p.x);
  const uint4* w = static_cast<const uint4*>(p.w) + static_cast<int64_t>(output) * vectors;
  int first = part * 32 + static_cast<int>(threadIdx.x) % 32;
  uint4 raw[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    if (first + i * step < vectors) raw[i] = __ldcs(w + first + i * step);
  }
  follow_previous();
  for (; first < vectors; first += step * kAhead) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int current = first + i * step, next = current + kAhead * step;
      if (current >= vectors) break;
      float a[kWidth], b[kWidth];
      widen<W>(raw[i], a);
      if (next < vectors) raw[i] = __ldcs(w + next);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int64_t row = min(first_row + r, rows - 1);  // sums of rows that do not exist are not stored
        load(x + row * p.x_pitch + static_cast<int64_t>(current) * kWidth, b);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) sums[r] = fmaf(a[j], b[j], sums[r]);
      }
    }
  }
}

template <int kRows, class T>
__device__ inline void accumulate_type(const Product& p, int output, int part, int64_t first_row, int64_t rows, float (&sums)[kRows]) {
  if (p.w_type == p.type) return accumulate<kRows, T, T>(p, output, part, first_row, rows, sums);
  accumulate<kRows, T, __nv_fp8_e4m3>(p, output, part, first_row, rows, sums);
}

template <int kRows> __global__ void __launch_bounds__(kWarps * 32) small_linear_kernel(const __grid_constant__ Products all) {
  __shared__ float parts[kWarps][kRows];
  const Product& p = product_of_block(all);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int output = (static_cast<int>(blockIdx.x) - p.first_block) * (kWarps / p.splits) + warp / p.splits;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kRows;
  float sums[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) sums[r] = 0;
  if (output < p.out) {
    switch (p.type) {
      case DType::kBF16: accumulate_type<kRows, __nv_bfloat16>(p, output, warp % p.splits, first_row, all.rows, sums); break;
      case DType::kF16: accumulate_type<kRows, __half>(p, output, warp % p.splits, first_row, all.rows, sums); break;
      default: accumulate<kRows, float, float>(p, output, warp % p.splits, first_row, all.rows, sums); break;
    }
  } else {
    follow_previous();
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    sums[r] = sum_lanes(sums[r]);
    if (lane == 0) parts[warp][r] = sums[r];
  }
  __syncthreads();
  if (output >= p.out || warp % p.splits != 0 || lane >= kRows || first_row + lane >= all.rows) return;
  float sum = 0;
  for (int part = 0; part < p.splits; ++part) sum += parts[warp + part][lane];
  finish(p, first_row + lane, output, sum);
}

int splits_of(int64_t out, int64_t vectors) {
  int splits = 1;
  while (splits < kWarps && out * splits < kEnoughWarps && vectors >= 2 * splits * 32 * kLeastVectorsOfAWarp) splits *= 2;
  return splits;
}

bool multiply(DType x, DType w) { return x == w || (w == DType::kF8E4M3 && x != DType::kF32); }

bool fits(const Tensor& x, const Tensor& w, const Tensor& y) {
  const int64_t rows = x.rows(), member_rows = x.rank() >= 3 && x.dim(0) > 0 ? rows / x.dim(0) : rows;
  if (!multiply(x.dtype(), w.dtype())) return false;
  const int64_t in = x.dim(-1), size = bytes_of(x.dtype()), w_size = bytes_of(w.dtype());
  return rows > 0 && rows <= kMostRows && member_rows <= kMostMemberRows && in * w_size % 16 == 0 && y.dim(-1) < 1 << 30 &&
         is_aligned(x.raw(), x.row_pitch() * size) && is_aligned(w.raw(), in * w_size);
}

Product product_of(const Tensor& x, const Weight& w, const Tensor& y, const Tensor& bias, const Tensor& residual) {
  Product p = product_base(x, w.data, y, bias, residual);
  p.w_scales = floats(row_scales(w));
  p.vectors = static_cast<int>(x.dim(-1) * bytes_of(w.data.dtype()) / 16);
  p.splits = splits_of(p.out, p.vectors);
  return p;
}

void launch(const char* op, cudaStream_t stream, Products& all) {
  int64_t blocks = 0;
  for (int i = 0; i < all.count; ++i) {
    all.product[i].first_block = static_cast<int>(blocks);
    blocks += ceil_div(all.product[i].out, kWarps / all.product[i].splits);
  }
  const auto grid = [&](int rows) { return dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(ceil_div(all.rows, rows))); };
  constexpr int kThreads = kWarps * 32;
  if (all.rows == 1) {
    launch_chained(op, small_linear_kernel<1>, grid(1), kThreads, 0, stream, all);
  } else if (all.rows == 2) {
    launch_chained(op, small_linear_kernel<2>, grid(2), kThreads, 0, stream, all);
  } else {
    launch_chained(op, small_linear_kernel<4>, grid(4), kThreads, 0, stream, all);
  }
}

}  // namespace

bool small_linear(const char* op, cudaStream_t stream, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  if (!fits(x, w.data, y)) return false;
  Products all = {.product = {product_of(x, w, y, args.bias, args.residual)}, .count = 1, .rows = x.rows()};
  set_ending(all.product[0], args, all.rows);
  launch(op, stream, all);
  return true;
}

bool small_projections(cudaStream_t stream, std::span<const Projection> projections) {
  if (projections.size() > kMostProducts) return false;
  Products all = {.product = {}, .count = 0, .rows = projections[0].x.rows()};
  for (const Projection& p : projections) {
    if (!fits(p.x, p.w->data, p.y) || p.x.rows() != all.rows) return false;
    all.product[all.count] = product_of(p.x, *p.w, p.y, p.bias, p.residual);
    all.product[all.count++].function = p.function;
  }
  launch("project", stream, all);
  return true;
}

}  // namespace cuda

}  // namespace linea
