// kernels/cuda/chain.cuh: kernels that are set up while the one before them still runs (programmatic dependent launch, Hopper and newer).
//
// A chained kernel calls follow_previous() in every thread before it reads or writes anything that other kernels write. Blocks of the next
// kernel begin as soon as all blocks of this one are on the machine, so that several small kernels may be waiting there, each for the one
// before it; before the call a kernel may read what no kernel writes, such as weights. LINEA_CUDA_CHAIN=0 launches everything one after the
// other, for comparisons.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdlib>
#include <string_view>
#include <type_traits>

#include "kernels/cuda/check.h"

namespace linea::cuda {

// Lets the next kernel begin, and waits until the kernel before has ended and its writes can be seen; that one has waited for its own
// predecessor. Nothing where kernels are not chained.
__device__ inline void follow_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
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

// Launches a kernel that calls follow_previous(), its blocks in clusters of `cluster` (Hopper and newer).
template <class... Parameters>
void launch_chained_clusters(const char* op, void (*kernel)(Parameters...), dim3 blocks, dim3 threads, size_t shared_bytes,
                             cudaStream_t stream, dim3 cluster, const std::type_identity_t<Parameters>&... arguments) {
  cudaLaunchAttribute attributes[2] = {};
  unsigned count = 0;
  if (chains_kernels()) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster.x * cluster.y * cluster.z > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count].val.clusterDim.x = cluster.x;
    attributes[count].val.clusterDim.y = cluster.y;
    attributes[count++].val.clusterDim.z = cluster.z;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = count;
  check(cudaLaunchKernelEx(&config, kernel, arguments...), op, "cudaLaunchKernelEx");
}

// Launches a kernel that calls follow_previous().
template <class... Parameters>
void launch_chained(const char* op, void (*kernel)(Parameters...), dim3 blocks, dim3 threads, size_t shared_bytes, cudaStream_t stream,
                    const std::type_identity_t<Parameters>&... arguments) {
  launch_chained_clusters(op, kernel, blocks, threads, shared_bytes, stream, dim3(1), arguments...);
}

}  // namespace linea::cuda
