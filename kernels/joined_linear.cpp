#include "kernels/joined_linear.h"

#include <numeric>

#include "core/mapped_file.h"
#include "core/planning_memory.h"
#include "kernels/backend.h"

namespace linea {
namespace {

// The tensors' rows one after the other, on the device.
Tensor joined_rows(const WeightLoader& w, const std::vector<std::string>& names, const std::vector<int64_t>& outs, Shape shape,
                   DType dtype) {
  const Tensor joined(shape, dtype, w.context().backend->device());
  int64_t first = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    shape[0] = outs[i];
    const Tensor part = w.checkpoint().load(w.prefix() + names[i], shape, dtype);
    if (!PlanningMemory::active()) {
      allocator_of(joined.device()).copy_from_host(joined.slice(0, first, outs[i]).raw(), part.raw(), part.bytes());
      release_pages(part.raw(), part.bytes());
    }
    first += outs[i];
  }
  return joined;
}

std::vector<std::string> with_ending(std::vector<std::string> names, const char* ending) {
  for (std::string& name : names) name += ending;
  return names;
}

}  // namespace

JoinedLinear JoinedLinear::load(const WeightLoader& w, const std::vector<std::string>& names, const std::vector<int64_t>& outs, int64_t in,
                                bool has_bias) {
  JoinedLinear joined;
  joined.outputs = std::accumulate(outs.begin(), outs.end(), int64_t{0});
  Context& ctx = w.context();
  const bool copies = w.has_many_rows() && ctx.backend->packs(ctx.dtype);
  if (ctx.backend->device().is_cpu() && !copies) {
    for (size_t i = 0; i < names.size(); ++i) {
      joined.parts.push_back({w.linear(names[i] + ".weight", outs[i], in), has_bias ? w.vector(names[i] + ".bias", {outs[i]}) : Tensor()});
    }
    return joined;
  }
  const Tensor matrix = joined_rows(w, with_ending(names, ".weight"), outs, {joined.outputs, in}, ctx.dtype);
  Tensor bias;
  if (has_bias) bias = joined_rows(w, with_ending(names, ".bias"), outs, {joined.outputs}, DType::kF32);
  joined.parts.push_back({w.prepared(matrix), bias});
  return joined;
}

void joined_linear(Context& ctx, const ProductRows& x, const JoinedLinear& w, const Tensor& y) {
  int64_t first = 0;
  for (const JoinedLinear::Part& part : w.parts) {
    const int64_t out = part.weight.shape[0];
    linear(ctx, x.values, part.weight, y.slice(-1, first, out), {.bias = part.bias, .x_scales = x.scales});
    first += out;
  }
}

}  // namespace linea
