// kernels/cuda/quantized_linear.cu: products of a few rows with block-quantised matrices, and their dequantisation for more rows.
//
// Maths    y[r, o] = residual + gate ⊙ f(act(bias[o] + Σ_i W[o, i] x[r, i])),  W = s (code - bias) - o  in pieces of 32 (device/blocks.cuh)
// Shape    as small_linear.cu's; 7.7 GB a token of RWKV-7 7.2B in Q8_0, 4.1 GB in Q4_0 or Q4_K. Rows in 16 bits go to quantized_mma.cu,
//          unless they are too long for shared memory or without 16-byte vectors.
// Tiles    a warp takes an output, a lane a piece of it at a time with several pieces on their way. x is widened to f32 in shared memory,
//          4096 elements at a time, in rows of 36 floats a piece, so that neighbouring lanes meet different banks.
// Traffic  W once, x once a block of 8 outputs.
// Roofline bound by memory; about 130 instructions for the 18 bytes of a piece of Q4_0 would keep the schedulers 75 % busy at 2.98 TB/s.
// Accuracy codes are exact in f32; sums of a piece without its scale, then scaled; one rounding at the end. The order depends on W's shape.
#include "kernels/cuda/quantized_linear.h"

#include <array>

#include "kernels/cuda/device/blocks.cuh"
#include "kernels/cuda/device/products.cuh"
#include "kernels/cuda/quantized_mma.h"

namespace linea::cuda {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * 32;
constexpr int kChunk = 4096;        // elements of x in shared memory
constexpr int kPitch = kPiece + 4;  // floats of a piece there
constexpr int64_t kFewRows = 4;     // beyond, dequantising once for a product on tensor cores is less work

// Elements [begin, begin + kChunk) of a row of x as f32, with the sums of every 16 after them.
template <int kRows> struct Inputs {
  float x[kRows][kChunk / kPiece][kPitch];

  template <class T> __device__ void fill_row(int row, const T* from, int count) {
    for (int i = static_cast<int>(threadIdx.x) * 4; i < count; i += kThreads * 4) {
      float v[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) v[j] = to_float(from[i + j]);
      store(&x[row][i / kPiece][i % kPiece], v);
    }
  }
  __device__ void fill(const Product& p, int64_t first_row, int64_t rows, int begin, int count) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int64_t offset = min(first_row + r, rows - 1) * p.x_pitch + begin;  // sums of rows that do not exist are not stored
      switch (p.type) {
        case DType::kBF16: fill_row(r, static_cast<const __nv_bfloat16*>(p.x) + offset, count); break;
        case DType::kF16: fill_row(r, static_cast<const __half*>(p.x) + offset, count); break;
        default: fill_row(r, static_cast<const float*>(p.x) + offset, count); break;
      }
    }
  }
};

// Adds a piece's part of the sums. Offsets multiply the sum of x; types without them leave that out.
template <class B, int kRows>
__device__ inline void add_piece(const B& raw, bool odd, const Inputs<kRows>& inputs, int place, float (&sums)[kRows]) {
  const Affine affine = raw.scales.of(odd);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float products[kRows] = {}, totals[kRows] = {};
#pragma unroll
    for (int i = 0; i < 16; i += 4) {
      const float2 pairs[2] = {codes_of(raw, 8 * half + i / 2), codes_of(raw, 8 * half + i / 2 + 1)};
      const float code[4] = {pairs[0].x, pairs[0].y, pairs[1].x, pairs[1].y};
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float x[4];
        load(&inputs.x[r][place][16 * half + i], x);
#pragma unroll
        for (int j = 0; j < 4; ++j) products[r] = fmaf(code[j], x[j], products[r]);
        if constexpr (B::kOffsets) totals[r] += (x[0] + x[1]) + (x[2] + x[3]);
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      sums[r] = fmaf(affine.scale[half], products[r], sums[r]);
      if constexpr (B::kOffsets) sums[r] = fmaf(-affine.offset[half], totals[r], sums[r]);
    }
  }
}

template <class B, int kRows> __global__ void __launch_bounds__(kThreads) quantized_linear_kernel(const __grid_constant__ Products all) {
  extern __shared__ __align__(16) char memory[];
  auto& inputs = *reinterpret_cast<Inputs<kRows>*>(memory);
  const Product& p = product_of_block(all);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int output = (static_cast<int>(blockIdx.x) - p.first_block) * kWarps + warp;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kRows;
  const bool valid = output < p.out;
  const auto fetch = [&](B& raw, int piece) {
    const PlaceOfPiece at = place_of<B>(p.w, valid ? output : 0, piece, p.vectors);
    raw.fetch_codes(at.tile, at.place);
    raw.fetch_scales(at.tile, at.place);
  };
  constexpr int kChunkPieces = kChunk / kPiece;
  B raw[B::kAhead];
#pragma unroll
  for (int i = 0; i < B::kAhead; ++i) {
    if (lane + 32 * i < p.vectors) fetch(raw[i], lane + 32 * i);
  }
  follow_previous();
  float sums[kRows] = {};
  for (int begin = 0; begin < p.vectors; begin += kChunkPieces) {
    const int end = min(begin + kChunkPieces, p.vectors);
    if (begin > 0) __syncthreads();
    inputs.fill(p, first_row, all.rows, begin * kPiece, (end - begin) * kPiece);
    __syncthreads();
    // kChunkPieces is a multiple of what a warp has on its way, so that a chunk begins with raw[0].
    for (int first = begin + lane; first < end; first += 32 * B::kAhead) {
#pragma unroll
      for (int i = 0; i < B::kAhead; ++i) {
        const int current = first + 32 * i, next = current + 32 * B::kAhead;
        if (current >= end) break;
        add_piece(raw[i], current % 2 == 1, inputs, current - begin, sums);
        if (next < p.vectors) fetch(raw[i], next);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const float sum = sum_lanes(sums[r]);
    if (lane == r && valid && first_row + r < all.rows) finish(p, first_row + r, output, sum);
  }
}

template <class B, int kRows> void launch_rows(const char* op, const Products& all, int64_t blocks, cudaStream_t stream) {
  constexpr auto kKernel = quantized_linear_kernel<B, kRows>;
  constexpr size_t kBytes = sizeof(Inputs<kRows>);
  static_assert(kChunk / kPiece % (32 * B::kAhead) == 0);
  allow_shared(kKernel, kBytes, op);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(ceil_div(all.rows, kRows)));
  launch_chained(op, kKernel, grid, kThreads, kBytes, stream, all);
}

void launch(const char* op, DType type, Products& all, cudaStream_t stream) {
  int64_t blocks = 0;
  for (int i = 0; i < all.count; ++i) {
    all.product[i].first_block = static_cast<int>(blocks);
    blocks += ceil_div(all.product[i].out, kWarps);
  }
  with_blocks(type, [&](auto tag) {
    using B = decltype(tag);
    if (all.rows == 1) return launch_rows<B, 1>(op, all, blocks, stream);
    launch_rows<B, 2>(op, all, blocks, stream);
  });
}

// The type of the values is told apart at run time, which the stores do not feel.
template <class B>
__global__ void dequantize_kernel(const void* w, int first_row, int pieces_of_row, int64_t pieces, void* values, DType type) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  follow_previous();
  if (index >= pieces) return;
  const auto piece = static_cast<int>(index % pieces_of_row);
  const PlaceOfPiece at = place_of<B>(w, first_row + static_cast<int>(index / pieces_of_row), piece, pieces_of_row);
  B raw;
  raw.fetch_codes(at.tile, at.place);
  raw.fetch_scales(at.tile, at.place);
  const Affine affine = raw.scales.of(piece % 2);
#pragma unroll
  for (int i = 0; i < kPiece; i += kVector) {
    float v[kVector];
#pragma unroll
    for (int j = 0; j < kVector; j += 2) {
      const float2 codes = codes_of(raw, (i + j) / 2);
      v[j] = fmaf(affine.scale[i / 16], codes.x, -affine.offset[i / 16]);
      v[j + 1] = fmaf(affine.scale[i / 16], codes.y, -affine.offset[i / 16]);
    }
    const int64_t place = index * kPiece + i;
    switch (type) {
      case DType::kBF16: store(static_cast<__nv_bfloat16*>(values) + place, v); break;
      case DType::kF16: store(static_cast<__half*>(values) + place, v); break;
      default: store(static_cast<float*>(values) + place, v); break;
    }
  }
}

}  // namespace

bool few_rows_fit(int64_t rows) { return rows <= kFewRows; }

void quantized_projections(const char* op, cudaStream_t stream, std::span<const Projection> projections, const LinearArgs& args,
                           std::vector<Projection>* beside) {
  std::array<bool, kMostProducts> done = {};
  LINEA_ASSERT(projections.size() <= done.size());
  for (size_t i = 0; i < projections.size(); ++i) {
    if (done[i]) continue;
    const DType type = projections[i].w->data.dtype();
    Products all = {.product = {}, .count = 0, .rows = projections[i].x.rows()};
    for (size_t j = i; j < projections.size(); ++j) {
      const Projection& p = projections[j];
      if (done[j] || p.w->data.dtype() != type) continue;
      Product& product = all.product[all.count++];
      product = product_base(p.x, p.w->data, p.y, p.bias, p.residual);
      product.vectors = static_cast<int>(p.x.dim(-1) / kPiece);
      product.function = p.function;
      set_ending(product, args, all.rows);
      done[j] = true;
    }
    if (!quantized_mma(op, stream, type, all, beside)) launch(op, type, all, stream);
  }
}

void dequantize_rows(const char* op, cudaStream_t stream, const Tensor& w, int64_t first, int64_t count, const Tensor& values) {
  constexpr int kPieceThreads = 256;
  const int64_t pieces_of_row = values.dim(1) / kPiece, pieces = count * pieces_of_row;
  if (pieces == 0) return;
  with_blocks(w.dtype(), [&](auto tag) {
    using B = decltype(tag);
    launch_chained(op, dequantize_kernel<B>, static_cast<unsigned>(ceil_div(pieces, kPieceThreads)), kPieceThreads, 0, stream, w.raw(),
                   static_cast<int>(first), static_cast<int>(pieces_of_row), pieces, values.raw(), values.dtype());
  });
}

}  // namespace linea::cuda
