// kernels/cuda/stream_allocator.h: memory of one CUDA device, with copies in the order of its backend's stream.
#pragma once

#include <cuda_runtime_api.h>

#include "core/device.h"

namespace linea::cuda {

class StreamAllocator final : public Allocator {
 public:
  StreamAllocator(int index, cudaStream_t stream) : index_(index), stream_(stream) {}

  void* allocate(int64_t bytes) override;
  void release(void* pointer) noexcept override;  // waits for the device, so that nothing in flight loses its memory
  void copy_from_host(void* to, const void* from, int64_t bytes) override;
  void copy_to_host(void* to, const void* from, int64_t bytes) override;

 private:
  int index_;
  cudaStream_t stream_;
};

}  // namespace linea::cuda
