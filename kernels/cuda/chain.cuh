// kernels/cuda/chain.cuh: kernels that are set up while the one before them still runs (programmatic dependent launch, Hopper and newer).
//
// A chained kernel calls follow_previous() in every thread before it reads or writes anything that other kernels write. Since a kernel lets
// its successor begin only after its own wait, the part before the call runs when all but the directly preceding kernel have ended: it may
// read weights. LINEA_CUDA_CHAIN=0 launches everything one after the other, for comparisons.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdlib>
#include <string_view>
#include <type_traits>

#include "kernels/cuda/check.h"

namespace linea::cuda {

// Waits until the kernel before has ended and its writes can be seen, and lets the next one begin. Nothing where kernels are not chained.
__device__ inline void follow_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

inline bool chains_kernels() {
  static const bool chains = [] {
    const char* setting = std::getenv("LINEA_CUDA_CHAIN");
    int device = 0, major = 0;
    check(cudaGetDevice(&device), "launch", "cudaGetDevice");
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "launch", "cudaDeviceGetAttribute");
    return major >= 9 && !(setting && std::string_view(setting) == "0");
  }();
  return chains;
}

// Launches a kernel that calls follow_previous().
template <class... Parameters>
void launch_chained(const char* op, void (*kernel)(Parameters...), dim3 blocks, dim3 threads, size_t shared_bytes, cudaStream_t stream,
                    const std::type_identity_t<Parameters>&... arguments) {
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = chains_kernels() ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, arguments...), op, "cudaLaunchKernelEx");
}

}  // namespace linea::cuda
