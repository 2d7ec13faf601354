// kernels/cuda/small_linear.cu: products of matrices with one to a few rows, several in one launch.
//
// Maths    y[r, o] = residual + gate ⊙ f(act(bias[o] + Σ_i W[o, i] x[r, i]))
// Shape    a decode step of RWKV-7 7.2B: one row; W of 4096×4096 three times and four of 96 to 480 rows at once, then 16384×4096,
//          4096×16384 and 65536×4096.
// Tiles    one to eight warps of a block share an output, so that small matrices fill the machine too and large ones keep long runs. A
//          lane reads 16 bytes of W at a time, eight reads in flight, past the first-level cache; x comes from that cache.
// Traffic  W once: 14.4 GB a token of 7.2B in 16 bits.
// Roofline bound by memory: 11 µs at 2.98 TB/s for 4096×4096.
// Accuracy f32, one rounding. The order of a sum depends on the shape of W alone.
#include "kernels/cuda/small_linear.h"

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/device/functions.cuh"

namespace linea {

namespace cuda {
namespace {

constexpr int64_t kMostRows = 16, kMostMemberRows = 4;  // beyond, tensor cores read W fewer times
constexpr int kWarps = 8, kAhead = 8;
constexpr int64_t kEnoughWarps = 8192;       // twice what 132 processors hold
constexpr int64_t kLeastVectorsOfAWarp = 4;  // a lane's share, below which splitting a sum further only adds work
constexpr int kMostProducts = 8;             // of a launch

// One product. x and w are of one type; y and the residual of another, perhaps.
struct Product {
  const void *x, *w, *residual;  // residual may be null
  void* y;
  const float *bias, *gate;  // each may be null
  int64_t x_pitch, residual_pitch, y_pitch, gate_pitch, rows_per_gate;
  int vectors, out, splits;  // vectors of a row of W; warps that share a sum
  int first_block;
  DType type, y_type;
  Activation activation;
  Function function;
};

struct Products {
  Product product[kMostProducts];
  int count;
  int64_t rows;
};

template <class T> constexpr int kLinearVector = 16 / sizeof(T);

// Adds this warp's part of an output's sums for kRows rows of x.
template <int kRows, class T>
__device__ inline void accumulate(const Product& p, int output, int part, int64_t first_row, int64_t rows, float (&sums)[kRows]) {
  constexpr int kWidth = kLinearVector<T>;
  const int step = 32 * p.splits, vectors = p.vectors;
  const T* x = static_cast<const T*>(p.x);
  const uint4* w = static_cast<const uint4*>(p.w) + static_cast<int64_t>(output) * vectors;
  for (int first = part * 32 + static_cast<int>(threadIdx.x) % 32; first < vectors; first += step * kAhead) {
    uint4 raw[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (first + i * step < vectors) raw[i] = __ldcs(w + first + i * step);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (first + i * step >= vectors) break;
      float a[kWidth], b[kWidth];
      load(reinterpret_cast<const T*>(&raw[i]), a);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int64_t row = min(first_row + r, rows - 1);  // sums of rows that do not exist are not stored
        load(x + row * p.x_pitch + static_cast<int64_t>(first + i * step) * kWidth, b);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) sums[r] = fmaf(a[j], b[j], sums[r]);
      }
    }
  }
}

template <class T> __device__ inline void store_result(const Product& p, int64_t row, int output, float value) {
  if (p.residual) value += to_float(static_cast<const T*>(p.residual)[row * p.residual_pitch + output]);
  static_cast<T*>(p.y)[row * p.y_pitch + output] = from_float<T>(value);
}

__device__ inline void finish(const Product& p, int64_t row, int output, float sum) {
  if (p.bias) sum += p.bias[output];
  sum = evaluate(activate(sum, p.activation), p.function);
  if (p.gate) sum *= p.gate[row / p.rows_per_gate * p.gate_pitch + output];
  switch (p.y_type) {
    case DType::kBF16: return store_result<__nv_bfloat16>(p, row, output, sum);
    case DType::kF16: return store_result<__half>(p, row, output, sum);
    default: return store_result<float>(p, row, output, sum);
  }
}

template <int kRows> __global__ void __launch_bounds__(kWarps * 32) small_linear_kernel(const __grid_constant__ Products all) {
  __shared__ float parts[kWarps][kRows];
  int index = all.count - 1;
  while (static_cast<int>(blockIdx.x) < all.product[index].first_block) --index;
  const Product& p = all.product[index];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int output = (static_cast<int>(blockIdx.x) - p.first_block) * (kWarps / p.splits) + warp / p.splits;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kRows;
  float sums[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) sums[r] = 0;
  if (output < p.out) {
    switch (p.type) {
      case DType::kBF16: accumulate<kRows, __nv_bfloat16>(p, output, warp % p.splits, first_row, all.rows, sums); break;
      case DType::kF16: accumulate<kRows, __half>(p, output, warp % p.splits, first_row, all.rows, sums); break;
      default: accumulate<kRows, float>(p, output, warp % p.splits, first_row, all.rows, sums); break;
    }
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

bool fits(const Tensor& x, const Tensor& w, const Tensor& y) {
  const int64_t rows = x.rows(), member_rows = x.rank() >= 3 && x.dim(0) > 0 ? rows / x.dim(0) : rows;
  const int64_t in = x.dim(-1), size = bytes_of(x.dtype());
  return rows > 0 && rows <= kMostRows && member_rows <= kMostMemberRows && in * size % 16 == 0 && y.dim(-1) < 1 << 30 &&
         w.dtype() == x.dtype() && is_aligned(x.raw(), x.row_pitch() * size) && is_aligned(w.raw(), in * size);
}

Product product_of(const Tensor& x, const Tensor& w, const Tensor& y, const Tensor& bias, const Tensor& residual) {
  const int64_t vectors = x.dim(-1) * bytes_of(x.dtype()) / 16, out = y.dim(-1);
  return {.x = x.raw(),
          .w = w.raw(),
          .residual = residual.raw(),
          .y = y.raw(),
          .bias = floats(bias),
          .gate = nullptr,
          .x_pitch = x.row_pitch(),
          .residual_pitch = pitch_of(residual),
          .y_pitch = y.row_pitch(),
          .gate_pitch = 0,
          .rows_per_gate = 1,
          .vectors = static_cast<int>(vectors),
          .out = static_cast<int>(out),
          .splits = splits_of(out, vectors),
          .first_block = 0,
          .type = x.dtype(),
          .y_type = y.dtype(),
          .activation = Activation::kNone,
          .function = Function::kIdentity};
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
    small_linear_kernel<1><<<grid(1), kThreads, 0, stream>>>(all);
  } else if (all.rows == 2) {
    small_linear_kernel<2><<<grid(2), kThreads, 0, stream>>>(all);
  } else {
    small_linear_kernel<4><<<grid(4), kThreads, 0, stream>>>(all);
  }
  check_launch(op);
}

}  // namespace

bool small_linear(const char* op, cudaStream_t stream, const Tensor& x, const Tensor& w, const Tensor& y, const LinearArgs& args) {
  if (!fits(x, w, y)) return false;
  Products all = {.product = {product_of(x, w, y, args.bias, args.residual)}, .count = 1, .rows = x.rows()};
  Product& p = all.product[0];
  p.activation = args.activation;
  if (args.gate.defined()) {
    p.gate = floats(args.gate);
    p.gate_pitch = args.gate.row_pitch();
    p.rows_per_gate = std::max<int64_t>(all.rows / args.gate.dim(0), 1);
  }
  launch(op, stream, all);
  return true;
}

}  // namespace cuda

using namespace cuda;

void CudaBackend::project(Context& ctx, std::span<const Projection> projections) {
  const bool small = projections.size() <= kMostProducts && std::all_of(projections.begin(), projections.end(), [&](const Projection& p) {
                       return fits(p.x, p.w->data, p.y) && p.x.rows() == projections[0].x.rows();
                     });
  if (!small) return Backend::project(ctx, projections);
  if (ctx.planning() || projections.empty()) return;
  Products all = {.product = {}, .count = 0, .rows = projections[0].x.rows()};
  for (const Projection& p : projections) {
    all.product[all.count] = product_of(p.x, p.w->data, p.y, p.bias, p.residual);
    all.product[all.count++].function = p.function;
  }
  launch("project", enter(), all);
}

}  // namespace linea
