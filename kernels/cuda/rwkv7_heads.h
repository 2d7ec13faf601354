// kernels/cuda/rwkv7_heads.h: the heads of one token of RWKV-7 together with the low-rank products before them.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

#include "core/dtype.h"

namespace linea::cuda {

struct StepInstruction;  // device/step.cuh

// One launch for both, as a step's recorder took them: products that give the heads' decays, rates, shares and gates and nothing else.
// False where they are not so, not of a 16-bit type, or where the heads are few; then nothing was launched.
bool projected_heads(DType type, const StepInstruction& products, const StepInstruction& heads, int device,
                     const std::function<cudaStream_t()>& enter);

}  // namespace linea::cuda
