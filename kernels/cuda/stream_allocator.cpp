#include "kernels/cuda/stream_allocator.h"

#include <string>

#include "core/error.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/graph.h"

namespace linea::cuda {

void* StreamAllocator::allocate(int64_t bytes) {
  check(cudaSetDevice(index_), "allocate", "cudaSetDevice");
  void* pointer = nullptr;
  const cudaError_t status = cudaMalloc(&pointer, static_cast<size_t>(bytes > 0 ? bytes : 1));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw Error(ErrorKind::kMemory,
                "out of memory: " + std::to_string(bytes >> 20) + " MiB on cuda:" + std::to_string(index_) + ", where " +
                    std::to_string(free >> 20) + " of " + std::to_string(total >> 20) + " MiB are free",
                "free memory of the device, or choose a smaller picture or --device cpu");
  }
  check(status, "allocate", "cudaMalloc");
  return pointer;
}

void StreamAllocator::release(void* pointer) noexcept {
  cudaSetDevice(index_);
  cudaFree(pointer);
}

// The source may be used again at return: pageable memory is staged before.
void StreamAllocator::copy_from_host(void* to, const void* from, int64_t bytes) {
  LINEA_ASSERT(!recording_stream());  // it would happen now, and not again with the recorded work
  check(cudaSetDevice(index_), "upload", "cudaSetDevice");
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream_), "upload", "cudaMemcpyAsync");
}

void StreamAllocator::copy_to_host(void* to, const void* from, int64_t bytes) {
  LINEA_ASSERT(!recording_stream());
  check(cudaSetDevice(index_), "download", "cudaSetDevice");
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream_), "download", "cudaMemcpyAsync");
  check(cudaStreamSynchronize(stream_), "download", "cudaStreamSynchronize");
}

}  // namespace linea::cuda
