// kernels/cuda/gated_weights.h: a product's gate multiplied into what makes its outputs, so that no pass follows the product:
//   residual + g ⊙ (W x + b) = residual + (g ⊙ W) x + g ⊙ b
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/ops.h"

namespace linea::cuda {

class Matmul;
struct MatmulCall;

// Whether it pays, by the shapes of the weights and the rows of one member alone: a picture's bits are then the same in any batch.
//   FP8    always, but for odd numbers of rows: the gate goes into the scales of the weights' rows.
//   bf16   a gated copy of W costs two passes over it, 4 in·out bytes; the pass that it spares reads two values and writes one for each
//          row and output, 6 rows·out bytes. W is rounded once more, where the pass had rounded the product: the same error.
//   f16    never: gated weights are often below its normal numbers.
bool folds_gate(const Tensor& x, const Weight& w, const LinearArgs& args);

// What is multiplied in place of the weights: for each of the gate's G rows, but for the matrix, which serves one row after the other.
struct GatedWeights {
  Tensor matrix;  // [out, in] like w; undefined for FP8
  Tensor scales;  // [G, out] f32 of an FP8 matrix
  Tensor bias;    // [G, out] of y's type; undefined without a bias

  static GatedWeights allocate(Context& ctx, const Weight& w, const LinearArgs& args, DType type);
};

// `call` is the whole product without its end, as Matmul::run takes it. False, and nothing submitted but scratch, where the library cannot.
bool gated_products(Matmul& matmul, cudaStream_t stream, const MatmulCall& call, const Weight& w, const LinearArgs& args,
                    const GatedWeights& gated);

}  // namespace linea::cuda
