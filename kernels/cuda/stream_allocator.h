// kernels/cuda/stream_allocator.h: memory of one CUDA device, with copies in the order of its backend's stream.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <mutex>

#include "core/device.h"
#include "core/memory_use.h"

namespace linea::cuda {

class StreamAllocator final : public Allocator {
 public:
  StreamAllocator(int index, cudaStream_t stream);
  ~StreamAllocator() override;

  void* allocate(int64_t bytes) override;
  void release(void* pointer) noexcept override;  // waits for the device, so that nothing in flight loses its memory
  // The source may be used again at return. Large copies go through pinned memory in pieces, so that reading the next piece from a mapped
  // file and sending this one over the bus overlap.
  void copy_from_host(void* to, const void* from, int64_t bytes) override;
  void copy_to_host(void* to, const void* from, int64_t bytes) override;

  cudaStream_t stream() const { return stream_; }

 private:
  class Staging;

  int index_;
  cudaStream_t stream_;
  MemoryMeter& meter_;
  std::mutex staging_mutex_;
  std::unique_ptr<Staging> staging_;  // made by the first large copy
};

}  // namespace linea::cuda
