// Matrix products with block-quantised weights, which stay as they lie in the file: simd/quantized_linear.cpp does the work.
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu_backend.h"

namespace linea {

using namespace cpu;

namespace {

constexpr int64_t kFewRows = 4;  // beyond them repacking into panels pays

Block block_of(DType type) {
  switch (type) {
    case DType::kQ4_0: return Block::kQ4_0;
    case DType::kQ4_1: return Block::kQ4_1;
    case DType::kQ5_0: return Block::kQ5_0;
    case DType::kQ5_1: return Block::kQ5_1;
    case DType::kQ8_0: return Block::kQ8_0;
    case DType::kIQ4_NL: return Block::kIQ4_NL;
    case DType::kQ2_K: return Block::kQ2_K;
    case DType::kQ3_K: return Block::kQ3_K;
    case DType::kQ4_K: return Block::kQ4_K;
    case DType::kQ5_K: return Block::kQ5_K;
    case DType::kQ6_K: return Block::kQ6_K;
    default: throw Error(ErrorKind::kInternal, std::string(name_of(type)) + " is not block-quantised");
  }
}

int64_t bytes_of_integers(bool few_rows) { return static_cast<int64_t>(few_rows ? sizeof(SplitBlock) : sizeof(FixedBlock)); }

}  // namespace

void CpuBackend::quantized_linear(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const GemmParams& out) {
  const int64_t rows = x.rows(), in = w.shape[1];
  const bool few_rows = (x.rank() >= 3 && x.dim(0) > 0 ? rows / x.dim(0) : rows) <= kFewRows;
  const Arena::Scope scope(*ctx.arena);
  const bool is_wide = x.dtype() == DType::kF32;
  const Tensor wide = is_wide ? x : ctx.allocate(x.shape(), DType::kF32);
  ThreadBuffers buffers(ctx, few_rows ? 0 : kQuantizedScratch);
  const auto* side_by_side = static_cast<const Tensor*>(w.packed.get());
  const bool splits = few_rows && side_by_side, fixes = !few_rows && side_by_side && kernels_.integer_gemm;
  const Tensor integers =
      splits || fixes ? ctx.allocate({rows, in / kInterleavedElements, bytes_of_integers(few_rows)}, DType::kU8) : Tensor();
  if (ctx.planning() || y.elements() == 0) return;

  if (!is_wide) cast(ctx, x, wide);
  const QuantizedLinearParams p = {.x = wide.data<float>(),
                                   .w = static_cast<const uint8_t*>(w.data.raw()),
                                   .interleaved = side_by_side ? side_by_side->raw() : nullptr,
                                   .x_pitch = wide.row_pitch(),
                                   .row_bytes = bytes_for(w.data.dtype(), in),
                                   .in = in,
                                   .block = block_of(w.data.dtype()),
                                   .out = out};
  if (splits) {
    auto* split = static_cast<SplitBlock*>(integers.raw());
    parallel_for(rows, grain_of(in), [&](int64_t begin, int64_t end) { kernels_.split_rows(p, split, begin, end); });
    parallel_for(ceil_div(out.out, kOutputBlock), grain_of(kOutputBlock * in / 8),
                 [&](int64_t begin, int64_t end) { kernels_.interleaved_dot(p, split, begin, end); });
    return;
  }
  if (few_rows) {
    parallel_for(ceil_div(out.out, kOutputBlock), grain_of(kOutputBlock * in / 4),
                 [&](int64_t begin, int64_t end) { kernels_.quantized_dot(p, begin, end); });
    return;
  }
  auto* fixed = fixes ? static_cast<FixedBlock*>(integers.raw()) : nullptr;
  if (fixes) parallel_for(rows, grain_of(in), [&](int64_t begin, int64_t end) { kernels_.fix_rows(p, fixed, begin, end); });
  const int64_t row_blocks = ceil_div(rows, kQuantizedRows), column_blocks = ceil_div(out.out, kQuantizedColumns);
  parallel_for(row_blocks * column_blocks, 1, [&](int64_t begin, int64_t end) {
    float* scratch = buffers.take();
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i % row_blocks * kQuantizedRows, column = i / row_blocks * kQuantizedColumns;
      const int64_t count = std::min(kQuantizedRows, rows - row), columns = std::min(kQuantizedColumns, out.out - column);
      fixes ? kernels_.integer_gemm(p, fixed, row, count, column, columns, scratch)
            : kernels_.quantized_gemm(p, row, count, column, columns, scratch);
    }
  });
}

}  // namespace linea
