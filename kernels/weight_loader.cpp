#include "kernels/weight_loader.h"

#include "kernels/backend.h"

namespace linea {

DType WeightLoader::type_of(const std::string& name, DType dtype) const {
  const auto found = checkpoint_.tensors().find(prefix_ + name);
  if (found == checkpoint_.tensors().end()) return dtype;
  const DType stored = found->second.dtype();
  if (is_quantized(stored)) return ctx_.backend->multiplies_quantized() ? stored : dtype;
  const bool narrow = stored == DType::kBF16 || stored == DType::kF16;
  return narrow && keep_narrow_ && dtype == DType::kF32 && ctx_.backend->multiplies_narrow() ? stored : dtype;
}

Weight WeightLoader::linear(const std::string& name, int64_t out, int64_t in, DType dtype) const {
  return prepared(load(name, {out, in}, type_of(name, dtype)));
}

Weight WeightLoader::pointwise(const std::string& name, int64_t out, int64_t in) const {
  return prepared(load(name, {out, in, 1, 1}, ctx_.dtype).reshape({out, in}));
}

Weight WeightLoader::conv2d(const std::string& name, int64_t out, int64_t in, int64_t k) const {
  return prepare_conv2d(ctx_, load(name, {out, in, k, k}, ctx_.dtype));
}

Tensor WeightLoader::depthwise(const std::string& name, int64_t channels, int64_t k) const {
  const Tensor filters = load(name, {channels, 1, k, k}, DType::kF32);
  Tensor transposed({k, k, channels}, DType::kF32);
  const float* from = filters.data<float>();
  float* to = transposed.data<float>();
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t tap = 0; tap < k * k; ++tap) to[tap * channels + c] = from[c * k * k + tap];
  }
  return transposed.to(ctx_.backend->device());
}

Tensor WeightLoader::vector(const std::string& name, Shape shape) const {
  return load(name, shape, DType::kF32).to(ctx_.backend->device());
}

Tensor WeightLoader::optional_vector(const std::string& name, Shape shape) const { return contains(name) ? vector(name, shape) : Tensor(); }

Tensor WeightLoader::table(const std::string& name, int64_t rows, int64_t columns) const {
  const DType stored = type_of(name, ctx_.dtype);
  const DType type = is_quantized(stored) && !ctx_.backend->looks_up_quantized() ? ctx_.dtype : stored;
  return load(name, {rows, columns}, type).to(ctx_.backend->device());
}

}  // namespace linea
