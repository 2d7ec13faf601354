// lm/weights.h: weights as the authors of recurrent language models store them, beyond what WeightLoader knows.
#pragma once

#include <string>

#include "kernels/weight_loader.h"

namespace linea {

// A f32 tensor of `shape` whose file may have it with other axes of size 1 or flattened ([1, 1, C] for [C]).
Tensor squeezed(const WeightLoader& w, const std::string& name, Shape shape);
Tensor transposed_matrix(const Tensor& matrix);  // f32 on the host
// A matrix that the file holds as [in, out], in the context's type or another.
Weight transposed_linear(const WeightLoader& w, const std::string& name, int64_t in, int64_t out, DType dtype);
Weight transposed_linear(Context& ctx, const Tensor& matrix, DType dtype);  // matrix [in, out] f32 on the host
// A causal depthwise filter [C, 1, K] as [K, C].
Tensor causal_filter(const WeightLoader& w, const std::string& name, int64_t channels, int64_t taps);

// -exp(stored value) in f32 whatever the file's type: how decays are stored.
Tensor negative_exponential(const WeightLoader& w, const std::string& name, Shape shape);

int64_t rows_of(const WeightLoader& w, const std::string& name);     // the first dimension, not 0; throws kModel when there is none
int64_t columns_of(const WeightLoader& w, const std::string& name);  // the last

// The number of consecutive blocks "<prefix>0.", "<prefix>1.", … that have a tensor `name`.
int64_t count_blocks(const Checkpoint& checkpoint, const std::string& prefix, const std::string& name);

// y = bias + f(x · down) · up, the low-rank maps of RWKV-6 and 7.
struct LowRank {
  Weight down, up;  // [rank, in], [out, rank]; `up` is f32 where y is
  Tensor bias;      // [out] f32 or undefined
};
LowRank load_low_rank(const WeightLoader& w, const std::string& down, const std::string& up, int64_t in, int64_t out, DType type_of_up);
void low_rank(Context& ctx, const LowRank& w, const Tensor& x, Function function, const Tensor& y);

}  // namespace linea
