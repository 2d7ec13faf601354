// kernels/cpu/isa.h: which of the compiled instruction sets this processor runs.
#pragma once

#include <vector>

#include "kernels/cpu/simd/kernels.h"

namespace linea::cpu {

// Every table that runs here, the slowest first. Their names: "v2" (x86-64-v2), "avx2" (v3), "avx512" (v4), or "generic" elsewhere.
std::vector<const Kernels*> available_kernels();

// The fastest of them, or the one that the environment variable LINEA_ISA names (which also limits oneDNN). Throws kUsage for a name that
// is not available.
const Kernels& chosen_kernels();

}  // namespace linea::cpu
