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

#include <iterator>
#include <vector>

#include "kernels/cuda/batch_linear.h"
#include "kernels/cuda/device/plain_products.cuh"
#include "kernels/cuda/quantized_mma.h"

namespace linea {

namespace cuda {
namespace {

constexpr int64_t kMostRows = 16, kMostMemberRows = 4;  // beyond, tensor cores read W fewer times
constexpr int64_t kBytesPiece = 32;                     // elements that quantized_mma takes together
constexpr int kWarps = kPlainWarps;

// Short rows of W, at most kShortVectors a lane: a warp takes kShortOutputs outputs, so that enough reads are on their way.
constexpr int kShortVectors = 2, kShortOutputs = 4, kLanesOfOutput = 32 / kShortOutputs;

// The sum over all lanes for the output that this lane's eight have: lanes whose sums a lane needs no more get theirs for it. The order is
// that of sum_lanes.
__device__ inline float sum_of_own_output(const float (&sums)[kShortOutputs], int lane) {
  const bool upper = lane / 16 == 1, odd = lane / 8 % 2 == 1;
  float two[2];
#pragma unroll
  for (int o = 0; o < 2; ++o) {
    const float kept = upper ? sums[o + 2] : sums[o], given = upper ? sums[o] : sums[o + 2];
    two[o] = kept + __shfl_xor_sync(0xffffffffu, given, 16);
  }
  const float kept = odd ? two[1] : two[0], given = odd ? two[0] : two[1];
  return sum_lanes<kLanesOfOutput>(kept + __shfl_xor_sync(0xffffffffu, given, 8));
}

template <int kRows, class T, class W>
__device__ inline void multiply_short(const Product& p, int first_output, int64_t first_row, int64_t rows) {
  constexpr int kWidth = 16 / sizeof(W), kTogether = sizeof(W) < sizeof(T) ? 1 : kShortVectors;  // vectors of x asked for at once
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
  const int64_t own_row = first_row + lane % kLanesOfOutput;
  const int own_output = first_output + lane / kLanesOfOutput;
  const bool ends = lane % kLanesOfOutput < kRows && own_row < rows && own_output < p.out;
  Ending ending;
  if (ends) ending.read_weights(p, own_output);
  follow_previous();
  if (ends) ending.read_rows(p, own_row, own_output);
  float own = 0;  // the sum of the lane's own output and row
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int64_t row = min(first_row + r, rows - 1);  // sums of rows that do not exist are not stored
    float sums[kShortOutputs] = {};
#pragma unroll
    for (int g = 0; g < kShortVectors; g += kTogether) {
      Pack<T, kWidth> narrow[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const int current = lane + 32 * (g + i);
        if (current < p.vectors) read_pack(x + row * p.x_pitch + static_cast<int64_t>(current) * kWidth, narrow[i]);
      }
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        if (lane + 32 * (g + i) >= p.vectors) break;
        float a[kWidth], b[kWidth];
        load(narrow[i].element, b);
#pragma unroll
        for (int o = 0; o < kShortOutputs; ++o) {
          widen<W>(raw[o][g + i], a);
#pragma unroll
          for (int j = 0; j < kWidth; ++j) sums[o] = fmaf(a[j], b[j], sums[o]);
        }
      }
    }
    const float sum = sum_of_own_output(sums, lane);
    if (lane % kLanesOfOutput == r) own = sum;
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
__device__ inline void accumulate_type(const Product& p, const WarpShare& own, float (&sums)[kRows], Ending& ending) {
  if (!kBytes || p.w_type == p.type) return accumulate<kRows, T, T>(p, own, sums, ending);
  if constexpr (kBytes) accumulate<kRows, T, __nv_fp8_e4m3>(p, own, sums, ending);
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
  const Product& p = product_of_block(all);
  multiply_plain<kRows>(all, p, parts, [&](const WarpShare& own, float(&sums)[kRows], Ending& ending) {
    switch (p.type) {
      case DType::kBF16: return accumulate_type<kRows, kBytes, __nv_bfloat16>(p, own, sums, ending);
      case DType::kF16: return accumulate_type<kRows, kBytes, __half>(p, own, sums, ending);
      default: return accumulate<kRows, float, float>(p, own, sums, ending);
    }
  });
}

bool fits(const Tensor& x, const Tensor& w, const Tensor& y) {
  const int64_t rows = x.rows(), member_rows = x.rank() >= 3 && x.dim(0) > 0 ? rows / x.dim(0) : rows;
  return rows > 0 && rows <= kMostRows && member_rows <= kMostMemberRows && y.dim(-1) < 1 << 30 && suits_plain(x, w);
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
    blocks += is_short ? ceil_div(p.out, kWarps * kShortOutputs) : plain_blocks(p);
  }
  if (all.rows == 1) return launch_rows<1>(op, stream, all, blocks, is_short);
  if (all.rows == 2) return launch_rows<2>(op, stream, all, blocks, is_short);
  launch_rows<4>(op, stream, all, blocks, is_short);
}

void submit(cudaStream_t stream, std::span<const Projection> projections) {
  Products all = {.product = {}, .count = 0, .rows = projections[0].x.rows()};
  for (const Projection& p : projections) {
    all.product[all.count] = plain_product(p.x, *p.w, p.y, p.bias, p.residual);
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

// Matrices of 8-bit floats go to tensor cores too, where their conversion costs least, and others beside them as there is place.
void submit_bytes(cudaStream_t stream, std::span<const Projection> projections, std::vector<Projection>& beside) {
  Products all = {.product = {}, .count = 0, .rows = projections[0].x.rows()};
  for (const Projection& p : projections) {
    Product& product = all.product[all.count++];
    product = product_base(p.x, p.w->data, p.y, p.bias, p.residual);
    product.w_scales = floats(row_scales(*p.w));
    product.vectors = static_cast<int>(p.x.dim(1) / kBytesPiece);
    product.function = p.function;
  }
  if (!quantized_mma("project", stream, DType::kF8E4M3, all, &beside)) submit(stream, projections);
}

}  // namespace

bool small_linear(const char* op, cudaStream_t stream, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  if (!fits(x, w.data, y)) return false;
  Products all = {.product = {plain_product(x, w, y, args.bias, args.residual)}, .count = 1, .rows = x.rows()};
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
  if (!bytes.empty()) submit_bytes(stream, bytes, projections);
  if (!projections.empty()) submit(stream, projections);
  return true;
}

}  // namespace cuda

}  // namespace linea
