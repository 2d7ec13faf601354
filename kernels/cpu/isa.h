// kernels/cpu/isa.h: which of the compiled instruction sets this processor runs.
#pragma once

#include <vector>

#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/tile_kernels.h"

namespace linea::cpu {

// Every table that runs here, the slowest first. Their names: "v2" (x86-64-v2), "avx2" (v3), "avx512" (v4), "avx512_vnni"
// (v4 and products of bytes), or "generic" elsewhere.
std::vector<const Kernels*> available_kernels();

// The fastest of them, or the one that the environment variable LINEA_ISA names (which also limits oneDNN). Throws kUsage for a name that
// is not available.
const Kernels& chosen_kernels();

// The kernels for matrix units of bf16 (AMX), null where the processor or the system has none, or where LINEA_ISA names a set without
// AVX-512.
const TileKernels* chosen_tiles();

}  // namespace linea::cpu
