// lm/logits.h: the end of every language model: the rows whose logits were asked for, through the head.
#pragma once

#include "kernels/ops.h"

namespace linea {

// The last rows of x, as many as logits has; throws kInternal unless that is one or all.
Tensor predicted_rows(const Tensor& x, const Tensor& logits);
// logits [rows, V] f32 = h headᵀ, h [rows, C] of the context's type.
void predict_logits(Context& ctx, const Tensor& h, const Weight& head, const Tensor& logits);

}  // namespace linea
