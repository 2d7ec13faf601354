// kernels/cuda/quantized_mma.cu: products of one or two rows in 16 bits with block-quantised matrices, on tensor cores.
//
// Maths    y[r, o] = residual + gate ⊙ f(act(bias[o] + Σ_i W[o, i] x[r, i])),  W = s (code - bias) - o  in pieces of 32 (device/blocks.cuh)
// Shape    as quantized_linear.cu's, which is the same for f32 and for rows too long for shared memory.
// Tiles    a block takes 16 outputs; its warps take turns in their pieces, four of a row at a time, a lane one piece of each of two rows.
//          Codes become 16-bit numbers, exactly, and the left operand of 16×8×16 products. Lane t's piece meets its part of x in column t
//          of the right operand and zeros in the others, so that the sums of four pieces stay apart for their scales; a second row of x
//          has the other four columns. Offsets multiply the sums of x, found by a left operand of ones.
// Traffic  W once, x once a block of 16 outputs into shared memory.
// Roofline bound by memory; about 55 instructions for the 18 bytes of a piece of Q4_0, where plain products need 130.
// Accuracy products are exact, sums in f32; one rounding at the end. The order depends on W's shape.
#include "kernels/cuda/quantized_mma.h"

#include <cuda_fp8.h>

#include "kernels/cuda/device/blocks.cuh"
#include "kernels/cuda/device/mma.cuh"

namespace linea::cuda {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * 32, kOutputs = 16, kRows = 2, kStepPieces = 4;
constexpr int64_t kMostBytes = 96 << 10;  // of x in shared memory, so that two blocks fit a processor

// Pieces of 8-bit floats in rows, whose scales are a row's and come at the end.
struct Bytes {
  static constexpr int kAhead = 4, kScales = 1;
  static constexpr bool kOffsets = false;
  uint4 codes[2];
  __device__ void fetch_codes(const uint8_t* from, int) {
    codes[0] = streamed<uint4>(from);
    codes[1] = streamed<uint4>(from + 16);
  }
  __device__ void fetch_scales(const uint8_t*, int) {}
  __device__ uint32_t word(int i) const {
    const uint4& half = codes[i / 4];
    return i % 4 == 0 ? half.x : i % 4 == 1 ? half.y : i % 4 == 2 ? half.z : half.w;
  }
};

template <class B> __device__ inline PlaceOfPiece find(const Product& p, int row, int piece) {
  if constexpr (std::is_same_v<B, Bytes>) {
    return {static_cast<const uint8_t*>(p.w) + (static_cast<int64_t>(row) * p.vectors + piece) * kPiece, 0};
  } else {
    return place_of<B>(p.w, row, piece, p.vectors);
  }
}

// Codes 2q and 2q + 1, less their bias.
template <class B, class T> __device__ inline uint32_t codes_in(const B& raw, int q) {
  if constexpr (std::is_same_v<B, Bytes>) {
    const uint32_t word = raw.word(q / 2);
    const auto pair = static_cast<__nv_fp8x2_storage_t>(q % 2 == 1 ? word >> 16 : word & 0xffff);
    const __half2 v = __half2(__nv_cvt_fp8x2_to_halfraw2(pair, __NV_E4M3));
    if constexpr (std::is_same_v<T, __half>) return reinterpret_cast<const uint32_t&>(v);
    const float2 wide = __half22float2(v);
    return pack_pair<T>(wide.x, wide.y);
  } else {
    return narrow_codes_of<B, T>(raw, q);
  }
}

// A lane's part of x: its piece where the lane's column is the piece's, else zeros.
struct Inputs {
  uint32_t pairs[kPiece / 2] = {};

  __device__ void read(const uint4* from) {
#pragma unroll
    for (int i = 0; i < kPiece / 8; ++i) {
      const uint4 raw = from[i];
      pairs[4 * i] = raw.x, pairs[4 * i + 1] = raw.y, pairs[4 * i + 2] = raw.z, pairs[4 * i + 3] = raw.w;
    }
  }
};

// Adds four pieces of 16 outputs. A lane has a piece of outputs lane / 4 and that plus 8; it gets the sums of these two outputs for two of
// the pieces and one row of x. Steps begin at a row's even pieces.
template <class B, class T> __device__ inline void add_pieces(const B (&raw)[2], const Inputs& x, int lane, float (&sums)[2]) {
  constexpr int kWords = kPiece / 4, kHalfWords = kWords / B::kScales;
  constexpr uint32_t kOnes = std::is_same_v<T, __half> ? 0x3c003c00u : 0x3f803f80u;
  Affine own[2] = {};
  if constexpr (!std::is_same_v<B, Bytes>) own[0] = raw[0].scales.of(lane % 2), own[1] = raw[1].scales.of(lane % 2);
  const int first = (lane & ~3) + 2 * lane % 4;  // the lanes whose pieces this one sums
#pragma unroll
  for (int half = 0; half < B::kScales; ++half) {
    float products[4] = {}, totals[4] = {};
#pragma unroll
    for (int word = half * kHalfWords; word < (half + 1) * kHalfWords; ++word) {
      const uint32_t codes[4] = {codes_in<B, T>(raw[0], 2 * word), codes_in<B, T>(raw[1], 2 * word), codes_in<B, T>(raw[0], 2 * word + 1),
                                 codes_in<B, T>(raw[1], 2 * word + 1)};
      multiply<T>(products, codes, x.pairs[2 * word], x.pairs[2 * word + 1]);
      if constexpr (B::kOffsets) multiply<T>(totals, {kOnes, kOnes, kOnes, kOnes}, x.pairs[2 * word], x.pairs[2 * word + 1]);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        if constexpr (std::is_same_v<B, Bytes>) {
          sums[i] += products[2 * i + j];
          continue;
        }
        sums[i] = fmaf(__shfl_sync(0xffffffffu, own[i].scale[half], first + j), products[2 * i + j], sums[i]);
        if constexpr (B::kOffsets) sums[i] = fmaf(-__shfl_sync(0xffffffffu, own[i].offset[half], first + j), totals[j], sums[i]);
      }
    }
  }
}

// Rows of x, side by side.
template <class T> __device__ inline void copy_rows(const Product& p, int64_t first_row, int rows, int in, T* to) {
  for (int r = 0; r < rows; ++r) {
    const T* from = static_cast<const T*>(p.x) + (first_row + r) * p.x_pitch;
    const bool whole = reinterpret_cast<uintptr_t>(from) % 16 == 0;
    for (int i = static_cast<int>(threadIdx.x) * 8; i < in; i += kThreads * 8) {
      if (whole) {
        *reinterpret_cast<uint4*>(to + r * in + i) = *reinterpret_cast<const uint4*>(from + i);
      } else {
        for (int j = 0; j < 8; ++j) to[r * in + i + j] = from[i + j];
      }
    }
  }
}

template <class B, class T> __global__ void __launch_bounds__(kThreads, 2) quantized_mma_kernel(const __grid_constant__ Products all) {
  constexpr int kAhead = B::kAhead > 2 ? 3 : 2;  // steps on their way
  extern __shared__ __align__(16) char memory[];
  __shared__ float parts[kWarps][kRows][kOutputs];
  T* inputs = reinterpret_cast<T*>(memory);
  const Product& p = product_of_block(all);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32, column = lane / 4;
  const int first_output = (static_cast<int>(blockIdx.x) - p.first_block) * kOutputs, in = p.vectors * kPiece;
  const int steps = (p.vectors + kStepPieces - 1) / kStepPieces;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kRows;
  const int rows = static_cast<int>(min(static_cast<int64_t>(kRows), all.rows - first_row));
  // What is read of outputs and pieces that do not exist meets zeros or is not stored.
  const auto fetch = [&](B& raw, int i, int step) {
    const PlaceOfPiece at = find<B>(p, min(first_output + column + 8 * i, p.out - 1), min(step * kStepPieces + lane % 4, p.vectors - 1));
    raw.fetch_codes(at.tile, at.place);
    raw.fetch_scales(at.tile, at.place);
  };
  B raw[kAhead][2];
#pragma unroll
  for (int a = 0; a < kAhead; ++a) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (warp + a * kWarps < steps) fetch(raw[a][i], i, warp + a * kWarps);
    }
  }
  follow_previous();
  copy_rows(p, first_row, rows, in, inputs);
  const int own_row = static_cast<int>(threadIdx.x) / kOutputs, own_output = first_output + static_cast<int>(threadIdx.x) % kOutputs;
  const bool ends = own_row < rows && own_output < p.out;
  Ending ending;
  if (ends) ending.read(p, first_row + own_row, own_output);
  __syncthreads();
  const bool has_inputs = column % 4 == lane % 4 && column / 4 < rows;
  float sums[2] = {};
  for (int first = warp; first < steps; first += kWarps * kAhead) {
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int step = first + a * kWarps, next = step + kAhead * kWarps, piece = step * kStepPieces + lane % 4;
      if (step >= steps) break;
      Inputs x;
      if (has_inputs && piece < p.vectors) x.read(reinterpret_cast<const uint4*>(inputs + column / 4 * in + piece * kPiece));
      add_pieces<B, T>(raw[a], x, lane, sums);
      if (next < steps) {
#pragma unroll
        for (int i = 0; i < 2; ++i) fetch(raw[a][i], i, next);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    sums[i] += __shfl_xor_sync(0xffffffffu, sums[i], 1);
    if (lane % 2 == 0) parts[warp][lane % 4 / 2][column + 8 * i] = sums[i];
  }
  __syncthreads();
  if (!ends) return;
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) sum += parts[i][own_row][own_output - first_output];
  ending.store(p, first_row + own_row, own_output, sum);
}

template <class T> void launch(const char* op, DType type, const Products& all, int64_t blocks, size_t bytes, cudaStream_t stream) {
  const auto launch_form = [&](auto tag) {
    constexpr auto kKernel = quantized_mma_kernel<decltype(tag), T>;
    allow_shared(kKernel, kMostBytes, op);
    const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(ceil_div(all.rows, kRows)));
    launch_chained(op, kKernel, grid, kThreads, bytes, stream, all);
  };
  type == DType::kF8E4M3 ? launch_form(Bytes{}) : with_blocks(type, launch_form);
}

}  // namespace

bool quantized_mma(const char* op, cudaStream_t stream, DType type, Products& all) {
  const Product* begin = all.product;
  const int longest =
      std::max_element(begin, begin + all.count, [](const Product& a, const Product& b) { return a.vectors < b.vectors; })->vectors;
  const DType own = begin->type;
  const int64_t bytes = int64_t{longest} * kPiece * bytes_of(own) * std::min<int64_t>(all.rows, kRows);
  const bool suits =
      own != DType::kF32 && bytes <= kMostBytes && std::all_of(begin, begin + all.count, [&](const Product& p) { return p.type == own; });
  if (!suits) return false;
  int64_t blocks = 0;
  for (int i = 0; i < all.count; ++i) {
    all.product[i].first_block = static_cast<int>(blocks);
    blocks += ceil_div(all.product[i].out, kOutputs);
  }
  const auto shared = static_cast<size_t>(bytes);
  own == DType::kF16 ? launch<__half>(op, type, all, blocks, shared, stream) : launch<__nv_bfloat16>(op, type, all, blocks, shared, stream);
  return true;
}

}  // namespace linea::cuda
