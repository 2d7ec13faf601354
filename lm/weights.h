// lm/weights.h: weights as the authors of recurrent language models store them, beyond what WeightLoader knows.
#pragma once

#include <string>

#include "kernels/weight_loader.h"

namespace linea {

// A f32 tensor of `shape` whose file may have it with other axes of size 1 or flattened ([1, 1, C] for [C]).
Tensor squeezed(const WeightLoader& w, const std::string& name, Shape shape);
Tensor transposed_matrix(const Tensor& matrix);  // f32 on the host
// A matrix that the file holds as [in, out], or as [out, in] under NAME.T, in the context's type or another.
Weight transposed_linear(const WeightLoader& w, const std::string& name, int64_t in, int64_t out, DType dtype);
int64_t rank_of(const WeightLoader& w, const std::string& name);            // `out` of such a matrix
Weight transposed_linear(Context& ctx, const Tensor& matrix, DType dtype);  // matrix [in, out] f32 on the host
// A causal depthwise filter [C, 1, K] as [K, C].
Tensor causal_filter(const WeightLoader& w, const std::string& name, int64_t channels, int64_t taps);

// -exp(stored value) in f32 whatever the file's type: how decays are stored.
Tensor negative_exponential(const WeightLoader& w, const std::string& name, Shape shape);
// Mamba's A: -exp(A_log), or as the file has it under A; throws kModel unless negative.
std::string name_of_rates(const WeightLoader& w);  // "A_log" or "A"
Tensor rates(const WeightLoader& w, Shape shape);

// The rows of a recurrent state, which kernels keep on their stack and whose square a state holds: throws kModel unless it is 1 … 512.
void require_state_rows(const WeightLoader& w, const char* what, int64_t size);

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
