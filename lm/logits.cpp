#include "lm/logits.h"

#include "core/error.h"

namespace linea {

Tensor predicted_rows(const Tensor& x, const Tensor& logits) {
  const int64_t rows = logits.dim(0);
  if (rows != 1 && rows != x.dim(0)) {
    throw Error(ErrorKind::kInternal,
                "logits: expected one row or one for each of " + std::to_string(x.dim(0)) + " tokens, got " + logits.describe());
  }
  return x.slice(0, x.dim(0) - rows, rows);
}

void predict_logits(Context& ctx, const Tensor& h, const Weight& head, const Tensor& logits) {
  const Projection last[] = {{.x = h, .w = &head, .y = logits}};
  project(ctx, last);
}

}  // namespace linea
