// Matrix products of the CPU backend.
//
//   few rows (time embedding, short prompts)       dot products, simd/small_linear.cpp
//   f32 and bf16 with AVX-512                      oneDNN, one primitive with bias, activation, gate and residual fused
//   f16; anything on older or other processors;
//   weights of 16 bits for activations in f32;
//   f32 of low rank in sequences of tokens         blocks of simd/gemm.cpp
//   block-quantised weights                        quantized_linear.cpp
//
// All read the checkpoint's [out, in] as it is, but some block-quantised ones (interleaved.h) and, for matrix units, those that many
// products share, which oneDNN packs. Which of them runs depends on the rows of one batch member, not of the batch, so that members do not
// change each other's bits. (A matrix [B, in] is taken as one member: bits may change when B passes kFewRows.)
#include <vector>

#include "core/mapped_file.h"
#include "core/planning_memory.h"
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/interleaved.h"
#include "kernels/cpu/onednn.h"

namespace linea {

using namespace cpu;

namespace {

constexpr int64_t kFewRows = 16;

// The low-rank matrices of RWKV stand between block-quantised ones, whose threads would compete with oneDNN's.
constexpr int64_t kLowRank = 512;

bool is_low_rank(const Tensor& x, const GemmParams& p) {
  return x.rank() == 2 && p.type == Element::kF32 && std::min(p.in, p.out) <= kLowRank;
}

// Blocks of rows for gemm_block by which the last thread ends first: each panel of W is transposed once a block, at the cost of some rows.
int64_t row_blocks_of(int64_t rows, int64_t column_blocks) {
  constexpr int64_t kRowsOfTransposing = 20, kLeastRows = 48;
  const int64_t fewest = ceil_div(rows, kGemmRows), most = std::max(fewest, rows / kLeastRows), threads = thread_count();
  const auto time = [&](int64_t blocks) {
    return ceil_div(blocks * column_blocks, threads) * (ceil_div(rows, blocks) + kRowsOfTransposing);
  };
  int64_t best = fewest;
  for (int64_t blocks = fewest + 1; blocks <= most; ++blocks) best = time(blocks) < time(best) ? blocks : best;
  return best;
}

GemmParams params_of(const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  return {.x = x.raw(),
          .w = w.data.raw(),
          .residual = args.residual.raw(),
          .y = y.raw(),
          .bias = floats(args.bias),
          .gate = floats(args.gate),
          .x_pitch = x.row_pitch(),
          .residual_pitch = args.residual.defined() ? args.residual.row_pitch() : 0,
          .y_pitch = y.row_pitch(),
          .gate_pitch = args.gate.defined() ? args.gate.row_pitch() : 0,
          .rows_per_gate = args.gate.defined() ? x.rows() / args.gate.dim(0) : x.rows(),
          .rows = x.rows(),
          .in = w.shape[1],
          .out = w.shape[0],
          .act = act_of(args.activation),
          .type = element_of(x),
          .w_type = is_quantized(w.data.dtype()) ? element_of(x) : element_of(w.data),
          .y_type = element_of(y)};
}

int64_t rows_per_member(const Tensor& x) { return x.rank() >= 3 && x.dim(0) > 0 ? x.rows() / x.dim(0) : x.rows(); }

}  // namespace

Weight CpuBackend::prepare_linear(const Tensor& w) {
  if (!interleaves(kernels_, w.dtype())) return {w, w.shape(), nullptr};
  const auto copy = std::make_shared<Tensor>(interleaved(w));
  if (kernels_.integer_gemm) release_pages(w.raw(), w.bytes());  // many rows read the copy, too
  return {w, w.shape(), copy};
}

bool CpuBackend::packs(DType type) const { return type == DType::kBF16 && tiles_ && onednn::has_bf16_matrices(); }

Weight CpuBackend::prepare_packed_linear(const Tensor& w) {
  if (!packs(w.dtype())) return prepare_linear(w);
  const auto layout = onednn::packed_layout(w.dim(0), w.dim(1));
  const Tensor packed({ceil_div(layout->bytes(), bytes_of(w.dtype()))}, w.dtype());
  if (!PlanningMemory::active()) {
    layout->pack(w.raw(), packed.raw());
    release_pages(w.raw(), w.bytes());
  }
  return {packed, w.shape(), std::const_pointer_cast<onednn::PackedLayout>(layout)};
}

void CpuBackend::linear(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  const auto* layout = w.data.dtype() == DType::kBF16 ? static_cast<const onednn::PackedLayout*>(w.packed.get()) : nullptr;
  GemmParams p = params_of(x, w, y, args);
  LINEA_ASSERT(p.w_type == p.type || (p.type == Element::kF32 && !layout));
  if (is_quantized(w.data.dtype())) return quantized_linear(ctx, x, w, y, p);
  const bool few_rows = rows_per_member(x) <= kFewRows,
             fused = !few_rows && p.w_type == p.type && onednn::has_matmul(p.type) && !is_low_rank(x, p);
  if (fused && p.type == Element::kBF16 && !y.is_contiguous()) return pitched_linear(ctx, x, w, y, args);
  const Arena::Scope scope(*ctx.arena);
  ThreadBuffers buffers(ctx, few_rows || fused ? 0 : kGemmScratch);
  const Tensor plain = few_rows && layout ? ctx.allocate(w.shape, w.data.dtype()) : w.data;
  if (ctx.planning() || p.rows == 0) return;

  if (few_rows) {
    if (layout) layout->unpack(w.data.raw(), plain.raw());  // of the smallest pictures alone
    p.w = plain.raw();
    parallel_for(ceil_div(p.out, kOutputBlock), grain_of(kOutputBlock * p.in),
                 [&](int64_t begin, int64_t end) { kernels_.small_linear(p, begin, end); });
  } else if (fused) {
    const bool in_place = p.residual == p.y && p.residual_pitch == p.y_pitch;
    if (p.residual && !in_place) cast(ctx, args.residual.reshape(y.shape()), y);
    for (int64_t b = 0; b * p.rows_per_gate < p.rows; ++b) {
      onednn::matmul({.x = offset(p.x, b * p.rows_per_gate * p.x_pitch, p.type),
                      .w = p.w,
                      .y = offset(p.y, b * p.rows_per_gate * p.y_pitch, p.y_type),
                      .bias = p.bias,
                      .gate = p.gate ? p.gate + b * p.gate_pitch : nullptr,
                      .rows = p.rows_per_gate,
                      .in = p.in,
                      .out = p.out,
                      .x_pitch = p.x_pitch,
                      .w_layout = layout,
                      .y_pitch = p.y_pitch,
                      .act = p.act,
                      .accumulate = p.residual != nullptr,
                      .type = p.type,
                      .y_type = p.y_type});
    }
  } else {
    const int64_t column_blocks = ceil_div(p.out, kGemmColumns), row_blocks = row_blocks_of(p.rows, column_blocks);
    const int64_t block_rows = ceil_div(p.rows, row_blocks);
    parallel_for(row_blocks * column_blocks, 1, [&](int64_t begin, int64_t end) {
      float* scratch = buffers.take();
      for (int64_t task = begin; task < end; ++task) {
        const int64_t row = task % row_blocks * block_rows, column = task / row_blocks * kGemmColumns;
        if (row >= p.rows) continue;
        kernels_.gemm_block(p, row, std::min(block_rows, p.rows - row), column, std::min(kGemmColumns, p.out - column), scratch);
      }
    });
  }
}

// oneDNN has no batch-reduce product in bf16 for rows of y with a pitch: what it has instead is several times slower on matrix units, and
// has other bits.
void CpuBackend::pitched_linear(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  const Arena::Scope scope(*ctx.arena);
  const Tensor rows = ctx.allocate(y.shape(), y.dtype());
  linear(ctx, x, w, rows, args);
  linea::cast(ctx, rows, y);
}

// What `linear` adds up in f32 is rounded once, to y's type.
void CpuBackend::project(Context& ctx, std::span<const Projection> projections) {
  for (const Projection& p : projections) {
    if (p.function == Function::kIdentity) {
      linear(ctx, p.x, *p.w, p.y, {.bias = p.bias, .residual = p.residual});
      continue;
    }
    const Arena::Scope scope(*ctx.arena);
    const bool fits = p.y.dtype() == DType::kF32 && !p.residual.defined();
    const Tensor product = fits ? p.y : ctx.allocate(p.y.shape(), DType::kF32);
    linear(ctx, p.x, *p.w, product, {.bias = p.bias});
    linea::elementwise(ctx, product, p.y, {.function = p.function, .residual = p.residual});
  }
}

void CpuBackend::grouped_linear(Context&, const Tensor& x, const Tensor& w, const Tensor& y) {
  constexpr int64_t kRows = 64;  // of x, which stay in the second-level cache while the groups pass
  const int64_t d = w.dim(1), groups = w.dim(0) / d, rows = x.rows();
  LINEA_ASSERT(d <= kMaxHeadDim);
  const int64_t padded = ceil_div(d, kernels_.lanes) * kernels_.lanes;
  std::vector<float> transposed(static_cast<size_t>(groups * d * padded), 0.0f);
  for (int64_t row = 0; row < groups * d; ++row) {
    float* column = transposed.data() + row / d * d * padded + row % d;
    for (int64_t j = 0; j < d; ++j) column[j * padded] = w.data<float>()[row * d + j];
  }
  const GroupedLinearParams p = {.x = x.raw(),
                                 .w = transposed.data(),
                                 .y = y.raw(),
                                 .x_pitch = x.row_pitch(),
                                 .y_pitch = y.row_pitch(),
                                 .groups = groups,
                                 .group_size = d,
                                 .type = element_of(x)};
  parallel_for(ceil_div(rows, kRows), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) kernels_.grouped_linear(p, i * kRows, std::min(rows, (i + 1) * kRows));
  });
}

}  // namespace linea
