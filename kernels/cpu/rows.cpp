// The CPU backend's ops on rows and elements: the kernels do the work, this file divides it over threads.
#include <cmath>
#include <vector>

#include "core/quantized.h"
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/onednn.h"

namespace linea {

using namespace cpu;

// bf16 pays only where the processor multiplies it; oneDNN emulates it on older AVX-512.
DType CpuBackend::preferred_dtype() const { return onednn::has_bf16_matrices() ? DType::kBF16 : DType::kF32; }

void CpuBackend::finish_rows(const EpilogueParams& params, int64_t rows) const {
  parallel_for(rows, grain_of(params.dim), [&](int64_t begin, int64_t end) { kernels_.epilogue(params, begin, end); });
}

void CpuBackend::modulated_layer_norm(Context&, const Tensor& x, const Tensor& scale, const Tensor& shift, const ProductRows& rows,
                                      float eps) {
  const Tensor& y = rows.values;  // no matrix here takes others
  const LayerNormParams p = {.x = x.raw(),
                             .y = y.raw(),
                             .scale = floats(scale),
                             .shift = floats(shift),
                             .x_pitch = x.row_pitch(),
                             .y_pitch = y.row_pitch(),
                             .scale_pitch = scale.row_pitch(),
                             .shift_pitch = shift.row_pitch(),
                             .tokens = x.rows() / scale.dim(0),
                             .dim = x.dim(2),
                             .eps = eps,
                             .type = element_of(x)};
  parallel_for(x.rows(), grain_of(p.dim), [&](int64_t begin, int64_t end) { kernels_.modulated_layer_norm(p, begin, end); });
}

void CpuBackend::rms_norm(Context&, const Tensor& x, const Tensor& w, const Tensor& y, const RmsNormArgs& args) {
  const cpu::RmsNormParams p = {.x = x.raw(),
                                .residual = args.residual.raw(),
                                .y = y.raw(),
                                .w = floats(w),
                                .bias = floats(args.bias),
                                .x_pitch = x.row_pitch(),
                                .residual_pitch = args.residual.defined() ? args.residual.row_pitch() : 0,
                                .y_pitch = y.row_pitch(),
                                .dim = x.dim(-1),
                                .eps = args.eps,
                                .weight_offset = args.unit_offset ? 1.0f : 0.0f,
                                .act = act_of(args.activation),
                                .type = element_of(x)};
  parallel_for(x.rows(), grain_of(p.dim), [&](int64_t begin, int64_t end) { kernels_.rms_norm(p, begin, end); });
}

void CpuBackend::rotary_embedding(Context&, const Tensor& x, int64_t first_position, float theta) {
  const int64_t tokens = x.dim(0), half = x.dim(2) / 2;
  std::vector<float> cosines(static_cast<size_t>(tokens * half)), sines(cosines.size());
  std::vector<double> frequencies(static_cast<size_t>(half));
  for (int64_t i = 0; i < half; ++i) {
    frequencies[static_cast<size_t>(i)] = std::pow(static_cast<double>(theta), -static_cast<double>(i) / static_cast<double>(half));
  }
  RotaryParams p = {.x = x.raw(),
                    .cos = cosines.data(),
                    .sin = sines.data(),
                    .token_stride = x.stride(0),
                    .head_stride = x.stride(1),
                    .heads = x.dim(1),
                    .half = half,
                    .type = element_of(x)};
  parallel_for(tokens, grain_of(half * 16), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(first_position + n) * frequencies[static_cast<size_t>(i)];
        cosines[static_cast<size_t>(n * half + i)] = static_cast<float>(std::cos(angle));
        sines[static_cast<size_t>(n * half + i)] = static_cast<float>(std::sin(angle));
      }
    }
    kernels_.rotary(p, begin, end);
  });
}

namespace {

// Row by row: few of them are asked for at a time.
void dequantized_lookup(const Tensor& table, std::span<const int32_t> ids, const Tensor& y, float scale) {
  const int64_t dim = y.dim(-1), row_bytes = bytes_for(table.dtype(), dim);
  parallel_for(y.rows(), grain_of(4 * dim), [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(dim));
    for (int64_t n = begin; n < end; ++n) {
      dequantize(table.dtype(), static_cast<const char*>(table.raw()) + ids[static_cast<size_t>(n)] * row_bytes, row.data(), dim);
      for (float& value : row) value *= scale;
      convert_elements(row.data(), DType::kF32, offset(y.raw(), n * y.row_pitch(), element_of(y)), y.dtype(), dim);
    }
  });
}

}  // namespace

void CpuBackend::embedding_lookup(Context&, const Tensor& table, std::span<const int32_t> ids, const Tensor& y, float scale) {
  if (is_quantized(table.dtype())) return dequantized_lookup(table, ids, y, scale);
  const EmbeddingParams p = {.table = table.raw(),
                             .ids = ids.data(),
                             .y = y.raw(),
                             .y_pitch = y.row_pitch(),
                             .dim = y.dim(-1),
                             .scale = scale,
                             .table_type = element_of(table),
                             .type = element_of(y)};
  parallel_for(y.rows(), grain_of(p.dim), [&](int64_t begin, int64_t end) { kernels_.embedding(p, begin, end); });
}

void CpuBackend::activate(Context&, const Tensor& x, const Tensor& y, Activation activation) {
  const EpilogueParams p = {.x = x.raw(),
                            .residual = nullptr,
                            .y = y.raw(),
                            .bias = nullptr,
                            .gate = nullptr,
                            .x_pitch = x.row_pitch(),
                            .residual_pitch = 0,
                            .y_pitch = y.row_pitch(),
                            .gate_pitch = 0,
                            .rows_per_gate = 1,
                            .dim = x.dim(-1),
                            .act = act_of(activation),
                            .x_type = element_of(x),
                            .y_type = element_of(y)};
  finish_rows(p, x.rows());
}

void CpuBackend::cast(Context& ctx, const Tensor& x, const Tensor& y) {
  if (x.dtype() != DType::kF64 && y.dtype() != DType::kF64) return activate(ctx, x, y, Activation::kNone);
  const int64_t dim = x.dim(-1);
  parallel_for(x.rows(), grain_of(dim), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      convert_elements(static_cast<const char*>(x.raw()) + r * x.row_pitch() * linea::bytes_of(x.dtype()), x.dtype(),
                       static_cast<char*>(y.raw()) + r * y.row_pitch() * linea::bytes_of(y.dtype()), y.dtype(), dim);
    }
  });
}

void CpuBackend::multiply_activated(Context&, const Tensor& gate, const Tensor& up, const Tensor& y, Activation activation) {
  const MultiplyParams p = {.gate = gate.raw(),
                            .up = up.raw(),
                            .y = y.raw(),
                            .gate_pitch = gate.row_pitch(),
                            .up_pitch = up.row_pitch(),
                            .y_pitch = y.row_pitch(),
                            .dim = y.dim(-1),
                            .act = act_of(activation),
                            .type = element_of(y)};
  parallel_for(y.rows(), grain_of(p.dim), [&](int64_t begin, int64_t end) { kernels_.multiply_activated(p, begin, end); });
}

void CpuBackend::add(Context&, const Tensor& a, const Tensor& b, const Tensor& y) {
  const AddParams p = {.a = a.raw(),
                       .b = b.raw(),
                       .y = y.raw(),
                       .a_pitch = a.row_pitch(),
                       .b_pitch = b.row_pitch(),
                       .y_pitch = y.row_pitch(),
                       .dim = y.dim(-1),
                       .type = element_of(y),
                       .b_type = element_of(b),
                       .b_rows = y.rows()};
  parallel_for(y.rows(), grain_of(p.dim), [&](int64_t begin, int64_t end) { kernels_.add(p, begin, end); });
}

void CpuBackend::add_rows(Context&, const Tensor& x, const Tensor& rows, const Tensor& y) {
  const AddParams p = {.a = x.raw(),
                       .b = rows.raw(),
                       .y = y.raw(),
                       .a_pitch = x.row_pitch(),
                       .b_pitch = y.dim(-1),
                       .y_pitch = y.row_pitch(),
                       .dim = y.dim(-1),
                       .type = element_of(y),
                       .b_type = Element::kF32,
                       .b_rows = y.dim(1)};
  parallel_for(y.rows(), grain_of(p.dim), [&](int64_t begin, int64_t end) { kernels_.add(p, begin, end); });
}

void CpuBackend::linear_combination(Context&, std::span<const Term> terms, const Tensor& y) {
  CombinationParams p = {};
  for (const Term& term : terms) {
    p.x[p.terms] = floats(term.x);
    p.coefficient[p.terms++] = term.coefficient;
  }
  p.y = y.data<float>();
  parallel_for(y.elements(), grain_of(1), [&](int64_t begin, int64_t end) { kernels_.combine(p, begin, end); });
}

}  // namespace linea
