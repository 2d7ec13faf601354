#include "lm/weights.h"

#include <cmath>

#include "kernels/backend.h"

namespace linea {
namespace {

Shape shape_of(const WeightLoader& w, const std::string& name) {
  const Shape shape = w.checkpoint().shape_of(w.prefix() + name);
  if (shape.rank() == 0 || shape.elements() == 0) {
    throw Error(ErrorKind::kModel, w.checkpoint().source().string() + ": " + w.prefix() + name +
                                       ": expected values in at least one dimension, " + "found " + shape.to_string());
  }
  return shape;
}

}  // namespace

Tensor transposed_matrix(const Tensor& x) {
  const int64_t rows = x.dim(0), columns = x.dim(1);
  Tensor y({columns, rows}, DType::kF32);
  const float* from = x.data<float>();
  float* to = y.data<float>();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) to[c * rows + r] = from[r * columns + c];
  }
  return y;
}

Tensor squeezed(const WeightLoader& w, const std::string& name, Shape shape) {
  const Shape found = shape_of(w, name);
  return found.elements() == shape.elements() ? w.vector(name, found).reshape(shape) : w.vector(name, shape);
}

Weight transposed_linear(const WeightLoader& w, const std::string& name, int64_t in, int64_t out, DType dtype) {
  if (w.contains(name + ".T")) return w.linear(name + ".T", out, in, dtype);
  const DType stored = w.type_of(name, dtype);
  return transposed_linear(w.context(), w.checkpoint().load(w.prefix() + name, {in, out}, DType::kF32),
                           is_quantized(stored) ? dtype : stored);
}

int64_t rank_of(const WeightLoader& w, const std::string& name) {
  return w.contains(name + ".T") ? rows_of(w, name + ".T") : columns_of(w, name);
}

// Never in 8 bits: the factors of a low-rank map are small, and rounding errors of both meet in it.
Weight transposed_linear(Context& ctx, const Tensor& matrix, DType dtype) {
  Context plain = ctx;
  plain.fp8 = false;
  return prepare_linear(plain, transposed_matrix(matrix).to(dtype).to(ctx.backend->device()));
}

Tensor causal_filter(const WeightLoader& w, const std::string& name, int64_t channels, int64_t taps) {
  const Tensor filter = w.checkpoint().load(w.prefix() + name, {channels, 1, taps}, DType::kF32);
  return transposed_matrix(filter.reshape({channels, taps})).to(w.context().backend->device());
}

Tensor negative_exponential(const WeightLoader& w, const std::string& name, Shape shape) {
  const Tensor stored = squeezed(w, name, shape).to(kCpuDevice);
  Tensor result(shape, DType::kF32);
  for (int64_t i = 0; i < result.elements(); ++i) result.data<float>()[i] = -std::exp(stored.data<float>()[i]);
  return result.to(w.context().backend->device());
}

std::string name_of_rates(const WeightLoader& w) { return w.contains("A") ? "A" : "A_log"; }

Tensor rates(const WeightLoader& w, Shape shape) {
  if (!w.contains("A")) return negative_exponential(w, "A_log", shape);
  const Tensor host = squeezed(w, "A", shape).to(kCpuDevice);
  for (int64_t i = 0; i < host.elements(); ++i) {
    if (host.data<float>()[i] < 0) continue;
    throw Error(ErrorKind::kModel, w.checkpoint().source().string() + ": " + w.prefix() + "A: expected negative numbers, found " +
                                       std::to_string(host.data<float>()[i]));
  }
  return host.to(w.context().backend->device());
}

void require_state_rows(const WeightLoader& w, const char* what, int64_t size) {
  constexpr int64_t kMost = 512;
  if (size >= 1 && size <= kMost) return;
  throw Error(ErrorKind::kModel, w.checkpoint().source().string() + ": " + what + ": expected 1 … " + std::to_string(kMost) + ", found " +
                                     std::to_string(size));
}

int64_t rows_of(const WeightLoader& w, const std::string& name) { return shape_of(w, name)[0]; }
int64_t columns_of(const WeightLoader& w, const std::string& name) { return shape_of(w, name)[-1]; }

int64_t count_blocks(const Checkpoint& checkpoint, const std::string& prefix, const std::string& name) {
  int64_t count = 0;
  while (checkpoint.contains(prefix + std::to_string(count) + "." + name)) ++count;
  return count;
}

LowRank load_low_rank(const WeightLoader& w, const std::string& down, const std::string& up, int64_t in, int64_t out, DType type_of_up) {
  const int64_t rank = rank_of(w, down);
  return {transposed_linear(w, down, in, rank, w.context().dtype), transposed_linear(w, up, rank, out, type_of_up), {}};
}

void low_rank(Context& ctx, const LowRank& w, const Tensor& x, Function function, const Tensor& y) {
  const Arena::Scope scope(*ctx.arena);
  const Tensor narrow = ctx.allocate({x.dim(0), w.down.shape[0]}), activated = ctx.allocate(narrow.shape(), y.dtype());
  linear(ctx, x, w.down, narrow);
  elementwise(ctx, narrow, activated, {.function = function});
  linear(ctx, activated, w.up, y, {.bias = w.bias});
}

}  // namespace linea
