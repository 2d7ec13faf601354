#include "lm/logits.h"

#include "core/error.h"

namespace linea {

Tensor predicted_rows(const Tensor& x, const Tensor& logits) {
  const int64_t rows = logits.dim(0), tokens = x.dim(0);
  if (rows == 0 || tokens % rows != 0) {
    throw Error(ErrorKind::kInternal,
                "logits: expected one row for equal parts of " + std::to_string(tokens) + " tokens, got " + logits.describe());
  }
  return x.reshape({rows, tokens / rows, x.dim(1)}).select(1, tokens / rows - 1);
}

void predict_logits(Context& ctx, const Tensor& h, const Weight& head, const Tensor& logits) {
  const Projection last[] = {{.x = h, .w = &head, .y = logits}};
  project(ctx, last);
}

}  // namespace linea
