// kernels/cuda/quantized_mma.cu: products of one or two rows in 16 bits with block-quantised matrices, on tensor cores.
//
// Maths    y[r, o] = residual + gate ⊙ f(act(bias[o] + Σ_i W[o, i] x[r, i])),  W = s (code - bias) - o  in pieces of 32 (device/blocks.cuh)
// Shape    as quantized_linear.cu's, which is the same for f32 and for rows too long for shared memory.
// Tiles    a block takes 16 outputs; its warps take turns in their pieces, four of a row at a time, a lane one piece of each of two rows.
//          Codes become 16-bit numbers, exactly, and the left operand of 16×8×16 products; of four bits in f16 they are so where they lie,
//          as subnormal numbers; so are the scales and offsets of Q4_K's pieces. Lane t's piece meets its part of x in column t of the
//          right operand and zeros in the others, so that the sums of four pieces stay apart for their scales; a second row of x has the
//          other four columns. Offsets, and a bias that is left, multiply sums of x, made for eight pieces at a time by a product with
//          ones. A warp copies the parts of x that its pieces meet and waits for them alone; the first pieces are asked for before the
//          kernel before has ended. Blocks for plain matrices of the same step may stand beside these (device/plain_products.cuh), with the
//          bits of their own launch.
// Traffic  W once, x once a block of 16 outputs into shared memory.
// Roofline bound by memory; about 58 instructions for the 18 bytes of a piece of Q4_0 and for those of Q4_K, where plain products
//          need 130.
// Accuracy products are exact, sums in f32; one rounding at the end. The order depends on W's shape.
#include "kernels/cuda/quantized_mma.h"

#include <cuda_fp8.h>

#include "kernels/cuda/device/blocks.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/plain_products.cuh"

namespace linea::cuda {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * 32, kOutputs = 16, kRows = 2, kStepPieces = 4;
constexpr int64_t kMostBytes = 96 << 10;  // of x in shared memory, so that two blocks fit a processor

constexpr int kStepElements = kStepPieces * kPiece;

// Pieces of 8-bit floats in rows, whose scales are a row's and come at the end. A lane's piece is 16 elements and 16 that lie 64 further,
// so that the lanes of a row read neighbouring bytes.
struct Bytes {
  static constexpr int kScales = 1, kBias = 0, kUpperPlace = 0;
  static constexpr bool kOffsets = false, kGrouped = false;
  uint4 codes[2];
  __device__ uint32_t word(int i) const {
    const uint4& half = codes[i / 4];
    return i % 4 == 0 ? half.x : i % 4 == 1 ? half.y : i % 4 == 2 ? half.z : half.w;
  }
};
template <class B> constexpr bool kIsBytes = std::is_same_v<B, Bytes>;

// Elements from a lane's piece to the next lane's, and from the first half of a piece to the second.
template <class B> constexpr int kLaneElements = kIsBytes<B> ? kPiece / 2 : kPiece;
template <class B> constexpr int kHalfElements = kIsBytes<B> ? kStepElements / 2 : kPiece / 2;

// Where the pieces of a lane lie, one of each of two outputs 8 apart, in the warp's steps, which are kWarps apart. What is read of outputs
// that do not exist is not stored; pieces that do not exist are zeros of a tile, or bytes that meet zeros of x.
template <class B> class Places {
 public:
  __device__ Places(const Product& p, int first_output, unsigned warp, unsigned lane) {
    const int column = static_cast<int>(lane / 4);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if constexpr (kIsBytes<B>) {
        at_[i] =
            static_cast<const uint8_t*>(p.w) + static_cast<int64_t>(min(first_output + column + 8 * i, p.out - 1)) * p.vectors * kPiece;
      } else {
        static_assert(kTileRows == 8 && 2 * kStepElements == kTileColumns && kWarps % 2 == 0);
        const int across = (p.vectors + 2 * kStepPieces - 1) / (2 * kStepPieces);
        const int tile = min(first_output / kTileRows + i, (p.out - 1) / kTileRows) * across + static_cast<int>(warp / 2);
        at_[i] = static_cast<const uint8_t*>(p.w) + static_cast<int64_t>(tile) * B::kTileBytes;
      }
    }
    if constexpr (kIsBytes<B>) {
      place_ = warp * kStepElements + lane % 4 * kLaneElements<B>;
      last_ = static_cast<unsigned>((p.vectors - 1) * kPiece + kPiece / 2);
    } else {
      place_ = static_cast<unsigned>(place_in_tile(column, static_cast<int>(warp % 2 * kStepPieces + lane % 4)));
      scale_place_ = (place_ & ~3) + (2 * place_ & 2);
    }
  }

  // The pieces of a step, counted from the last skip(). The scales are those of the two pieces whose sums the lane gets (add_pieces).
  __device__ void fetch(B (&raw)[2], int step) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if constexpr (kIsBytes<B>) {
        const unsigned place = place_ + step * kWarps * kStepElements;
        raw[i].codes[0] = streamed<uint4>(at_[i] + min(place, last_));
        raw[i].codes[1] = streamed<uint4>(at_[i] + min(place + kHalfElements<B>, last_));
      } else {
        const uint8_t* tile = at_[i] + step * (kWarps / 2 * B::kTileBytes);
        raw[i].fetch_codes(tile, static_cast<int>(place_));
        raw[i].fetch_scales(tile, static_cast<int>(scale_place_));
      }
    }
  }
  __device__ void skip(int steps) {
    if constexpr (kIsBytes<B>) {
      place_ += steps * kWarps * kStepElements;
    } else {
      at_[0] += steps * (kWarps / 2 * B::kTileBytes);
      at_[1] += steps * (kWarps / 2 * B::kTileBytes);
    }
  }
  // In their tile.
  __device__ int scale_place() const { return static_cast<int>(scale_place_); }

 private:
  const uint8_t* at_[2];
  unsigned place_, scale_place_ = 0, last_ = 0;
};

// Block-quantised codes as f16: their bits in the lowest places are subnormal numbers, code · 2^-24, which tensor cores take as they are.
// What their bias and that factor do to a sum is put right in f32, where it pays: for codes that need fewer shifts so, and where the sums
// of x are needed anyway. bf16 has too short a mantissa.
template <class B> constexpr bool kHasSmallPairs = B::kUpperPlace > 0 || B::kOffsets;
template <class B, class T> constexpr bool kSubnormal = kHasSmallPairs<B>&& std::is_same_v<T, __half>;
template <class B, class T> constexpr float kUnit = kSubnormal<B, T> ? 0x1p-24f : 1.0f;

// Whether the last two of four pairs are codes times 2^kUpperPlace, whose sums stay apart; and what is left of the bias.
template <class B, class T> constexpr bool has_upper_pairs() {
  if constexpr (kSubnormal<B, T>) return B::kUpperPlace > 0;
  return false;
}
template <class B, class T> constexpr float kLeftBias = kSubnormal<B, T> ? static_cast<float>(B::kBias) : 0.0f;
template <class B, class T> constexpr bool kNeedsTotals = B::kOffsets || kLeftBias<B, T> != 0;

// What the first of two pieces comes with, and what their sum is of its unit, where scales are taken two at a time.
template <class B> constexpr float kFirstFactor = B::kGrouped ? GroupedAffines::kFirstFactor : 1.0f;
template <class B> constexpr float kScaleUnit = B::kGrouped ? GroupedAffines::kUnit : 1.0f;

// Codes 2q and 2q + 1, less their bias but for kLeftBias.
template <class B, class T> __device__ inline uint32_t codes_in(const B& raw, int q) {
  if constexpr (kIsBytes<B>) {
    const uint32_t word = raw.word(q / 2);
    const auto pair = static_cast<__nv_fp8x2_storage_t>(q % 2 == 1 ? word >> 16 : word & 0xffff);
    const __half2 v = __half2(__nv_cvt_fp8x2_to_halfraw2(pair, __NV_E4M3));
    if constexpr (std::is_same_v<T, __half>) return reinterpret_cast<const uint32_t&>(v);
    const float2 wide = __half22float2(v);
    return pack_pair<T>(wide.x, wide.y);
  } else if constexpr (kSubnormal<B, T>) {
    return raw.small_pair_of(q);
  } else {
    return narrow_codes_of<B, T>(raw, q);
  }
}

// A lane's part of x in the steps of a warp: its pieces where the lane's column is the piece's, else zeros.
template <class B, class T> struct Inputs {
  const T* from;
  bool exists;
  uint32_t pairs[kPiece / 2] = {};

  // Few lanes take part: for the others this would cost as much again.
  __device__ void read() {
    if (exists) {
#pragma unroll
      for (int i = 0; i < kPiece / 8; ++i) {
        const uint4 raw = reinterpret_cast<const uint4*>(from + i / 2 * kHalfElements<B>)[i % 2];
        pairs[4 * i] = raw.x, pairs[4 * i + 1] = raw.y, pairs[4 * i + 2] = raw.z, pairs[4 * i + 3] = raw.w;
      }
    }
    from += kWarps * kStepElements;
  }
};

// Sums of x over the pieces of a warp's next kSteps steps, or their halves, times kUnit (and kFirstFactor): eight pieces by one product
// with ones, whose rows they are. All lanes of a row get its sum; lanes in the upper columns those of a second row of x.
template <class B, class T, int kSteps> struct Totals {
  static constexpr int kEights = (kSteps + 1) / 2;
  float sums[kEights][B::kScales];

  // What a lane reads of two steps, from the first one's first piece on: a quarter of a piece. Where a sum is the whole piece's, quarters
  // are dealt out so that the eight lanes of a matrix read all banks.
  __device__ static int own_place() {
    const int lane = static_cast<int>(threadIdx.x % 32), matrix = lane / 8;
    const int quarter = B::kScales == 1 ? (matrix + lane % 4 / 2 + lane % 8 / 4 * 2) % 4 : matrix % 2 * 2 + matrix / 2;
    return lane % 4 * kPiece + quarter * (kPiece / 4);
  }
  // `from`: own_place() in the first step; `left`: the steps from there on, kWarps apart.
  __device__ void read(const T* from, int left, int row_pitch, int rows) {
    constexpr uint32_t kOnes = std::is_same_v<T, __half> ? 0x3c003c00u : 0x3f803f80u;
    const int lane = static_cast<int>(threadIdx.x % 32), second_step = lane % 8 / 4;
    const float unit = lane / 4 % 2 == 0 ? kUnit<B, T> * kFirstFactor<B> : kUnit<B, T>;
#pragma unroll
    for (int e = 0; e < kEights; ++e) {
      const T* at = from + min(2 * e + second_step, left - 1) * kWarps * kStepElements;
      float found[4] = {};
      uint32_t left_side[4];
      load_matrices(left_side, at);
      multiply<T>(found, left_side, kOnes, kOnes);
      if (rows > 1) {
        float second[4] = {};
        load_matrices(left_side, at + row_pitch);
        multiply<T>(second, left_side, kOnes, kOnes);
        if (lane % 4 >= 2) found[0] = second[0], found[2] = second[2];
      }
      if constexpr (B::kScales == 2) {
        sums[e][0] = found[0] * unit, sums[e][1] = found[2] * unit;
      } else {
        sums[e][0] = (found[0] + found[2]) * unit;
      }
    }
  }
  // Those of the two pieces of step `step` whose products the lane gets.
  __device__ void of_step(int step, float (&own)[2][B::kScales]) const {
    const unsigned lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const unsigned piece = step % 2 * kStepPieces + lane % 2 * 2 + j;
#pragma unroll
      for (int half = 0; half < B::kScales; ++half) own[j][half] = __shfl_sync(0xffffffffu, sums[step / 2][half], piece * 4 + lane % 4);
    }
  }
};

// Adds the products of the two pieces whose scales lie at `place`, or of their halves, to an output's sum.
template <class B>
__device__ inline void add_scaled(const B& raw, int place, int half, const float (&products)[2], const float (&totals)[2], float& sum) {
  if constexpr (kIsBytes<B>) {
    sum += products[0] + products[1];
  } else if constexpr (B::kGrouped) {
    sum = raw.scales.add(sum, products, totals, place);
  } else {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const Affine own = raw.scales.of(j);
      sum = fmaf(own.scale[half], products[j], sum);
      if constexpr (B::kOffsets) sum = fmaf(-own.offset[half], totals[j], sum);
    }
  }
}

// A piece's product from those of its lower and its upper pairs, where these stay apart; times kFirstFactor for the first of two.
template <class B, int kSums> __device__ inline float with_factor(int which, float lower, float upper) {
  constexpr float kUpper = 1.0f / (1 << B::kUpperPlace);
  const float factor = which == 0 ? kFirstFactor<B> : 1.0f;
  if (kSums == 1) return factor * lower;
  return factor * kUpper == 1.0f ? fmaf(factor, lower, upper) : factor * fmaf(kUpper, upper, lower);
}

// Adds four pieces of 16 outputs, times kUnit and kScaleUnit. A lane has a piece of outputs lane / 4 and that plus 8; it gets the sums of
// these two outputs for two of the pieces, 2 lane mod 4 and the next, and one row of x. Steps begin at a row's even pieces.
template <class B, class T>
__device__ inline void add_pieces(const B (&raw)[2], int place, const uint32_t (&x)[kPiece / 2], const float (&totals)[2][B::kScales],
                                  float (&sums)[2]) {
  constexpr int kTwos = kPiece / 4 / B::kScales;          // of pairs
  constexpr int kSums = has_upper_pairs<B, T>() ? 2 : 1;  // of the first two of four pairs, and of the last two
#pragma unroll
  for (int half = 0; half < B::kScales; ++half) {
    float products[kSums][4] = {};
#pragma unroll
    for (int two = half * kTwos; two < (half + 1) * kTwos; ++two) {
      const uint32_t codes[4] = {codes_in<B, T>(raw[0], 2 * two), codes_in<B, T>(raw[1], 2 * two), codes_in<B, T>(raw[0], 2 * two + 1),
                                 codes_in<B, T>(raw[1], 2 * two + 1)};
      multiply<T>(products[two % kSums], codes, x[2 * two], x[2 * two + 1]);
    }
    float own_totals[2];
#pragma unroll
    for (int j = 0; j < 2; ++j) own_totals[j] = totals[j][half];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float own[2];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        own[j] = with_factor<B, kSums>(j, products[0][2 * i + j], products[kSums - 1][2 * i + j]);
        if constexpr (kLeftBias<B, T> != 0) own[j] = fmaf(-kLeftBias<B, T>, own_totals[j], own[j]);
      }
      add_scaled(raw[i], place, half, own, own_totals, sums[i]);
    }
  }
}

// Asks for the parts of x that a warp's steps meet, in rows of whole steps, zeros beyond the last element: those of the first kEarly steps
// or a few more as one group of copies, and the rest as another.
template <int kEarly, class T> __device__ inline void copy_inputs(const T* x, int64_t pitch, int rows, int in, int steps, T* to) {
  constexpr int kLanesOfStep = kStepElements / 8, kTogether = 32 / kLanesOfStep;
  constexpr int kEarlyElements = (kEarly + kTogether - 1) / kTogether * kTogether * kWarps * kStepElements;
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int all = steps * kStepElements;
  int i = static_cast<int>((warp + lane / kLanesOfStep * kWarps) * kStepElements + lane % kLanesOfStep * 8);
#pragma unroll 1
  for (int end = min(kEarlyElements, all);; end = all) {
#pragma unroll 1
    for (; i < end; i += kTogether * kWarps * kStepElements) {
      const int from = i < in ? i : 0;
      copy_async_16(to + i, x + from, i < in);
      if (rows > 1) copy_async_16(to + all + i, x + pitch + from, i < in);
    }
    commit_copies();
    if (end == all) break;
  }
  if (all <= kEarlyElements) commit_copies();  // nothing, so that groups are two
}

// Blocks with one scale a piece need few registers: three of their thread blocks fit a processor, two steps ahead each. Of the others two
// fit, three steps ahead.
template <class B> constexpr bool kIsLight = kIsBytes<B> || (!B::kOffsets && B::kScales == 1);
template <class B> constexpr int kBlocksOfProcessor = kIsLight<B> ? 3 : 2;
template <class B> constexpr int kAheadOf = kIsLight<B> ? 2 : 3;

template <class B, class T>
__global__ void __launch_bounds__(kThreads, kBlocksOfProcessor<B>) quantized_mma_kernel(const __grid_constant__ Products all) {
  constexpr int kAhead = kAheadOf<B>;
  extern __shared__ __align__(16) char memory[];
  __shared__ float parts[kWarps][kRows][kOutputs];
  T* inputs = reinterpret_cast<T*>(memory);
  const Product& p = product_of_block(all);
  if (p.w_type == p.type) {
    __shared__ float plain_parts[kPlainWarps][1];
    return multiply_plain<1>(all, p, plain_parts,
                             [&](const WarpShare& own, float(&sums)[1], Ending& ending) { accumulate<1, T, T>(p, own, sums, ending); });
  }
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32),
            column = static_cast<int>(threadIdx.x % 32 / 4);
  const int first_output = (static_cast<int>(blockIdx.x) - p.first_block) * kOutputs;
  const int steps = (p.vectors + kStepPieces - 1) / kStepPieces;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kRows;
  const int rows = static_cast<int>(min(static_cast<int64_t>(kRows), all.rows - first_row));
  Places<B> places(p, first_output, warp, lane);
  B raw[kAhead][2];
  // Addresses go on once for all steps on their way, but where registers would not do.
  const auto fetch = [&](int a) {
    places.fetch(raw[a], kIsLight<B> ? 0 : a);
    if constexpr (kIsLight<B>) places.skip(1);
  };
#pragma unroll
  for (int a = 0; a < kAhead; ++a) {
    if (warp + a * kWarps < steps) fetch(a);
  }
  const int own_row = static_cast<int>(threadIdx.x / kOutputs), own_output = first_output + static_cast<int>(threadIdx.x % kOutputs);
  const bool ends = own_row < rows && own_output < p.out;
  Ending ending;
  if (ends) ending.read_weights(p, own_output);
  Inputs<B, T> x;
  x.exists = column % 4 == lane % 4 && column / 4 < rows;
  x.from = inputs + column / 4 * steps * kStepElements + warp * kStepElements + lane % 4 * kLaneElements<B>;
  const T* from = static_cast<const T*>(p.x) + first_row * p.x_pitch;
  follow_previous();
  copy_inputs<kAhead>(from, p.x_pitch, rows, p.vectors * kPiece, steps, inputs);
  if (ends) ending.read_rows(p, first_row + own_row, own_output);
  wait_copies<1>();
  __syncwarp();
  const T* totals_from = inputs + warp * kStepElements + Totals<B, T, kAhead>::own_place();
  float sums[2] = {};
  for (int first = warp; first < steps; first += kWarps * kAhead) {
    if (first > warp) {
      wait_copies<0>();
      __syncwarp();
    }
    if constexpr (!kIsLight<B>) places.skip(kAhead);
    Totals<B, T, kAhead> totals;
    if constexpr (kNeedsTotals<B, T>) {
      totals.read(totals_from + (first - warp) * kStepElements, (steps - first + kWarps - 1) / kWarps, steps * kStepElements, rows);
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      if (first + a * kWarps >= steps) break;
      x.read();
      float own_totals[2][B::kScales] = {};
      if constexpr (kNeedsTotals<B, T>) totals.of_step(a, own_totals);
      add_pieces<B, T>(raw[a], places.scale_place(), x.pairs, own_totals, sums);
      if (first + (a + kAhead) * kWarps < steps) fetch(a);
    }
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    sums[i] += __shfl_xor_sync(0xffffffffu, sums[i], 1);
    if (lane % 2 == 0) parts[warp][lane % 4 / 2][column + 8 * i] = sums[i] * (1 / (kUnit<B, T> * kScaleUnit<B>));
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

// Adds plain products of one row to the launch, and takes them from `beside`.
void take_plain(Products& all, std::vector<Projection>& beside) {
  std::vector<Projection> rest;
  const DType own = all.product[0].type;
  for (const Projection& p : beside) {
    const bool joins = all.count < kMostProducts && p.x.rows() == all.rows && p.w->data.dtype() == own && p.x.dtype() == own &&
                       suits_plain(p.x, p.w->data);
    if (!joins) {
      rest.push_back(p);
      continue;
    }
    Product& product = all.product[all.count++];
    product = plain_product(p.x, *p.w, p.y, p.bias, p.residual);
    product.function = p.function;
  }
  beside = std::move(rest);
}

}  // namespace

bool quantized_mma(const char* op, cudaStream_t stream, DType type, Products& all, std::vector<Projection>* beside) {
  const Product* begin = all.product;
  const int longest =
      std::max_element(begin, begin + all.count, [](const Product& a, const Product& b) { return a.vectors < b.vectors; })->vectors;
  const DType own = begin->type;
  const int64_t bytes = ceil_div(longest, kStepPieces) * kStepElements * bytes_of(own) * std::min<int64_t>(all.rows, kRows);
  const bool suits = own != DType::kF32 && bytes <= kMostBytes && std::all_of(begin, begin + all.count, [&](const Product& p) {
                       return p.type == own && is_aligned(p.x, p.x_pitch * bytes_of(own));
                     });
  if (!suits) return false;
  if (beside && all.rows == 1) take_plain(all, *beside);
  int64_t blocks = 0;
  for (int i = 0; i < all.count; ++i) {
    Product& p = all.product[i];
    p.first_block = static_cast<int>(blocks);
    blocks += p.w_type == own ? plain_blocks(p) : ceil_div(p.out, kOutputs);
  }
  const auto shared = static_cast<size_t>(bytes);
  own == DType::kF16 ? launch<__half>(op, type, all, blocks, shared, stream) : launch<__nv_bfloat16>(op, type, all, blocks, shared, stream);
  return true;
}

}  // namespace linea::cuda
