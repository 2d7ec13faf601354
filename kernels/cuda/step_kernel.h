// kernels/cuda/step_kernel.h: the kernel that goes through a step program.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/dtype.h"

namespace linea::cuda {

struct StepInstruction;
struct StepCopy;

// On the device. `arrivals` counts blocks at barriers, `begun` those that have begun, `copied` all blocks' counted instructions whose
// pieces are on their way: zero before the first launch.
struct StepProgram {
  const StepInstruction* instructions;
  const StepCopy* copies;  // of every block `copy_pitch`, with one of no bytes after the last
  int instruction_count, copy_pitch;
  uint64_t* arrivals;
  unsigned long long* begun;
  uint32_t* copied;
  int counted;  // instructions that a block counts
  int ahead;    // bytes of weights that a block asks for into the second-level cache beyond its ring; 0 = none
  int pace;     // cycles at least from one kStepAskedBytes to the next
};

// `type`: of the activations.
void launch_step(DType type, const StepProgram& program, int device, cudaStream_t stream);

}  // namespace linea::cuda
