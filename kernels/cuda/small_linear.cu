// kernels/cuda/small_linear.cu: products of matrices with one to a few rows, several in one launch.
//
// Maths    y[r, o] = residual + gate ⊙ f(act(bias[o] + Σ_i W[o, i] x[r, i])); W of x's type, or e4m3 with a scale a row
// Shape    a decode step of RWKV-7 7.2B: one row; W of 4096×4096 three times and four of 96 to 480 rows at once, then 16384×4096,
//          4096×16384 and 65536×4096.
// Tiles    one to eight warps of a block share an output, so that small matrices fill the machine too and large ones keep long runs; where
//          rows of W are short, a warp takes four outputs. A lane reads 16 bytes of W at a time, eight reads in flight, past the
//          first-level cache; x comes from that cache. Projections with matrices of 8-bit floats go to quantized_mma.cu, and those of 5
//          to 64 rows to batch_linear.cu and batch_linear_f32.cu.
// Traffic  W once: 14.4 GB a token of 7.2B in 16 bits.
// Roofline bound by memory: 11 µs at 2.98 TB/s for 4096×4096.
// Accuracy f32, one rounding. The order of a sum depends on the shape of W alone.
#include "kernels/cuda/small_linear.h"

#include <cuda_fp8.h>

#include <iterator>
#include <vector>

#include "kernels/cuda/batch_linear.h"
#include "kernels/cuda/device/products.cuh"
#include "kernels/cuda/quantized_mma.h"

namespace linea {

namespace cuda {
namespace {

constexpr int64_t kMostRows = 16, kMostMemberRows = 4;  // beyond, tensor cores read W fewer times
constexpr int64_t kBytesPiece = 32;                     // elements that quantized_mma takes together
constexpr int kWarps = 8, kAhead = 8;
constexpr int64_t kEnoughWarps = 5120;       // half as much again as 132 processors hold
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

// Adds this warp's part of an output's sums for kRows rows of x. The first reads of W begin before x is there; what ends the sum of the
// lane's own row is read with x.
template <int kRows, class T, class W>
__device__ inline void accumulate(const Product& p, int output, int part, int64_t first_row, int64_t rows, float (&sums)[kRows],
                                  Ending& ending) {
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
  const int own_row = static_cast<int>(threadIdx.x) % 32;
  if (part == 0 && own_row < kRows && first_row + own_row < rows) ending.read(p, first_row + own_row, output);
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

// Short rows of W, at most kShortVectors a lane: a warp takes kShortOutputs outputs, so that enough reads are on their way.
constexpr int kShortVectors = 2, kShortOutputs = 4;

template <int kRows, class T, class W>
__device__ inline void multiply_short(const Product& p, int first_output, int64_t first_row, int64_t rows) {
  constexpr int kWidth = 16 / sizeof(W);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const T* x = static_cast<const T*>(p.x);
  uint4 raw[kShortOutputs][kShortVectors];
#pragma unroll
  for (int o = 0; o < kShortOutputs; ++o) {
    const uint4* w = static_cast<const uint4*>(p.w) + static_cast<int64_t>(min(first_output + o, p.out - 1)) * p.vectors;
#pragma unroll
    for (int i = 0; i < kShortVectors; ++i) {
      if (lane + 32 * i < p.vectors) raw[o][i] = __ldcs(w + lane + 32 * i);
    }
  }
  follow_previous();
  const int64_t own_row = first_row + lane / kShortOutputs;
  const int own_output = first_output + lane % kShortOutputs;
  const bool ends = lane < kRows * kShortOutputs && own_row < rows && own_output < p.out;
  Ending ending;
  if (ends) ending.read(p, own_row, own_output);
  float own = 0;  // the sum of the lane's own output and row
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int64_t row = min(first_row + r, rows - 1);  // sums of rows that do not exist are not stored
    float sums[kShortOutputs] = {};
#pragma unroll
    for (int i = 0; i < kShortVectors; ++i) {
      if (lane + 32 * i >= p.vectors) break;
      float a[kWidth], b[kWidth];
      load(x + row * p.x_pitch + static_cast<int64_t>(lane + 32 * i) * kWidth, b);
#pragma unroll
      for (int o = 0; o < kShortOutputs; ++o) {
        widen<W>(raw[o][i], a);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) sums[o] = fmaf(a[j], b[j], sums[o]);
      }
    }
#pragma unroll
    for (int o = 0; o < kShortOutputs; ++o) {
      const float sum = sum_lanes(sums[o]);
      if (lane == r * kShortOutputs + o) own = sum;
    }
  }
  if (ends) ending.store(p, own_row, own_output, own);
}

// kBytes: whether some of a launch's matrices are in e4m3, which takes more registers.
template <int kRows, bool kBytes, class T>
__device__ inline void multiply_short_type(const Product& p, int first_output, int64_t first_row, int64_t rows) {
  if (!kBytes || p.w_type == p.type) return multiply_short<kRows, T, T>(p, first_output, first_row, rows);
  if constexpr (kBytes) multiply_short<kRows, T, __nv_fp8_e4m3>(p, first_output, first_row, rows);
}

template <int kRows, bool kBytes, class T>
__device__ inline void accumulate_type(const Product& p, int output, int part, int64_t first_row, int64_t rows, float (&sums)[kRows],
                                       Ending& ending) {
  if (!kBytes || p.w_type == p.type) return accumulate<kRows, T, T>(p, output, part, first_row, rows, sums, ending);
  if constexpr (kBytes) accumulate<kRows, T, __nv_fp8_e4m3>(p, output, part, first_row, rows, sums, ending);
}

template <int kRows, bool kBytes>
__global__ void __launch_bounds__(kWarps * 32, 4) short_linear_kernel(const __grid_constant__ Products all) {
  const int index = static_cast<int>(blockIdx.x), warp = static_cast<int>(threadIdx.x) / 32;
  const Product& p = product_of_block(all);
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kRows;
  const int first_output = ((index - p.first_block) * kWarps + warp) * kShortOutputs;
  switch (p.type) {
    case DType::kBF16: return multiply_short_type<kRows, kBytes, __nv_bfloat16>(p, first_output, first_row, all.rows);
    case DType::kF16: return multiply_short_type<kRows, kBytes, __half>(p, first_output, first_row, all.rows);
    default: return multiply_short<kRows, float, float>(p, first_output, first_row, all.rows);
  }
}

template <int kRows, bool kBytes>
__global__ void __launch_bounds__(kWarps * 32, kRows == 1 ? 3 : 2) small_linear_kernel(const __grid_constant__ Products all) {
  __shared__ float parts[kWarps][kRows];
  const int index = static_cast<int>(blockIdx.x);
  const Product& p = product_of_block(all);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kRows;
  const int output = (index - p.first_block) * (kWarps / p.splits) + warp / p.splits;
  float sums[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) sums[r] = 0;
  Ending ending;
  if (output < p.out) {
    const int part = warp % p.splits;
    switch (p.type) {
      case DType::kBF16: accumulate_type<kRows, kBytes, __nv_bfloat16>(p, output, part, first_row, all.rows, sums, ending); break;
      case DType::kF16: accumulate_type<kRows, kBytes, __half>(p, output, part, first_row, all.rows, sums, ending); break;
      default: accumulate<kRows, float, float>(p, output, part, first_row, all.rows, sums, ending); break;
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
  ending.store(p, first_row + lane, output, sum);
}

int splits_of(int64_t out, int64_t vectors) {
  int splits = 1;
  while (splits < kWarps && out * splits < kEnoughWarps && vectors >= 2 * splits * 32 * kLeastVectorsOfAWarp) splits *= 2;
  return splits;
}

bool multiply(DType x, DType w) { return x == w || (w == DType::kF8E4M3 && x != DType::kF32); }

bool has_vectors(const Tensor& x, const Tensor& w) {
  if (!multiply(x.dtype(), w.dtype())) return false;
  const int64_t size = bytes_of(x.dtype()), w_row = x.dim(-1) * bytes_of(w.dtype());
  return w_row % 16 == 0 && is_aligned(x.raw(), x.row_pitch() * size) && is_aligned(w.raw(), w_row);
}

bool fits(const Tensor& x, const Tensor& w, const Tensor& y) {
  const int64_t rows = x.rows(), member_rows = x.rank() >= 3 && x.dim(0) > 0 ? rows / x.dim(0) : rows;
  return rows > 0 && rows <= kMostRows && member_rows <= kMostMemberRows && y.dim(-1) < 1 << 30 && has_vectors(x, w);
}

Product product_of(const Tensor& x, const Weight& w, const Tensor& y, const Tensor& bias, const Tensor& residual) {
  Product p = product_base(x, w.data, y, bias, residual);
  p.w_scales = floats(row_scales(w));
  p.vectors = static_cast<int>(x.dim(-1) * bytes_of(w.data.dtype()) / 16);
  p.splits = splits_of(p.out, p.vectors);
  return p;
}

template <int kRows> void launch_rows(const char* op, cudaStream_t stream, const Products& all, int64_t blocks, bool is_short) {
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(ceil_div(all.rows, kRows)));
  const bool bytes = std::any_of(all.product, all.product + all.count, [](const Product& p) { return p.w_type != p.type; });
  const auto kernel = is_short ? bytes ? short_linear_kernel<kRows, true> : short_linear_kernel<kRows, false>
                      : bytes ? small_linear_kernel<kRows, true>
                               : small_linear_kernel<kRows, false>;
  launch_chained(op, kernel, grid, kWarps * 32, 0, stream, all);
}

// Rows are short where they are for all matrices of the launch; sums have the same order either way.
void launch(const char* op, cudaStream_t stream, Products& all) {
  const bool is_short = std::all_of(all.product, all.product + all.count, [](const Product& p) { return p.vectors <= 32 * kShortVectors; });
  int64_t blocks = 0;
  for (int i = 0; i < all.count; ++i) {
    Product& p = all.product[i];
    p.first_block = static_cast<int>(blocks);
    blocks += ceil_div(p.out, is_short ? kWarps * kShortOutputs : kWarps / p.splits);
  }
  if (all.rows == 1) return launch_rows<1>(op, stream, all, blocks, is_short);
  if (all.rows == 2) return launch_rows<2>(op, stream, all, blocks, is_short);
  launch_rows<4>(op, stream, all, blocks, is_short);
}

void submit(cudaStream_t stream, std::span<const Projection> projections) {
  Products all = {.product = {}, .count = 0, .rows = projections[0].x.rows()};
  for (const Projection& p : projections) {
    all.product[all.count] = product_of(p.x, *p.w, p.y, p.bias, p.residual);
    all.product[all.count++].function = p.function;
  }
  launch("project", stream, all);
}

// Takes from `projections` those that `suits` holds for.
template <class Suits> std::vector<Projection> take(std::vector<Projection>& projections, Suits suits) {
  std::vector<Projection> taken;
  const auto rest = std::stable_partition(projections.begin(), projections.end(), [&](const Projection& p) { return !suits(p); });
  std::move(rest, projections.end(), std::back_inserter(taken));
  projections.erase(rest, projections.end());
  return taken;
}

// More rows: matrices in 16 bits on tensor cores together, and small ones in f32.
void submit_batch(cudaStream_t stream, std::vector<Projection>& projections) {
  const std::vector<Projection> batch = take(projections, fits_batch), floats = take(projections, fits_batch_f32);
  if (!floats.empty()) batch_f32_projections(stream, floats);
  if (!batch.empty()) batch_projections(stream, batch);
}

// Matrices of 8-bit floats go to tensor cores too, where their conversion costs least.
void submit_bytes(cudaStream_t stream, std::span<const Projection> projections) {
  Products all = {.product = {}, .count = 0, .rows = projections[0].x.rows()};
  for (const Projection& p : projections) {
    Product& product = all.product[all.count++];
    product = product_base(p.x, p.w->data, p.y, p.bias, p.residual);
    product.w_scales = floats(row_scales(*p.w));
    product.vectors = static_cast<int>(p.x.dim(1) / kBytesPiece);
    product.function = p.function;
  }
  if (!quantized_mma("project", stream, DType::kF8E4M3, all)) submit(stream, projections);
}

}  // namespace

bool small_linear(const char* op, cudaStream_t stream, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  if (!fits(x, w.data, y)) return false;
  Products all = {.product = {product_of(x, w, y, args.bias, args.residual)}, .count = 1, .rows = x.rows()};
  set_ending(all.product[0], args, all.rows);
  launch(op, stream, all);
  return true;
}

bool small_projections(cudaStream_t stream, std::vector<Projection>& projections) {
  const int64_t rows = projections[0].x.rows();
  if (projections.size() > kMostProducts) return false;
  if (rows > kMostMemberRows) {
    submit_batch(stream, projections);
    return projections.empty();
  }
  for (const Projection& p : projections) {
    if (!fits(p.x, p.w->data, p.y) || p.x.rows() != rows) return false;
  }
  const std::vector<Projection> bytes =
      take(projections, [&](const Projection& p) { return p.w->data.dtype() == DType::kF8E4M3 && p.x.dim(1) % kBytesPiece == 0; });
  if (!bytes.empty()) submit_bytes(stream, bytes);
  if (!projections.empty()) submit(stream, projections);
  return true;
}

}  // namespace cuda

}  // namespace linea
