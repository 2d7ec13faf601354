#include "kernels/cuda/stream_allocator.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "core/error.h"
#include "core/threads.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/graph.h"

namespace linea::cuda {

// Pieces of pinned memory that take turns.
class StreamAllocator::Staging {
 public:
  static constexpr int64_t kLeast = int64_t{4} << 20;  // of a copy: smaller ones the runtime stages itself, by one thread

  Staging() {
    for (Piece& piece : pieces_) {
      check(cudaMallocHost(&piece.memory, static_cast<size_t>(kPiece)), "upload", "cudaMallocHost");
      check(cudaEventCreateWithFlags(&piece.sent, cudaEventDisableTiming), "upload", "cudaEventCreateWithFlags");
    }
  }
  ~Staging() {
    for (const Piece& piece : pieces_) {
      if (piece.sent) cudaEventDestroy(piece.sent);
      cudaFreeHost(piece.memory);
    }
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // While one piece leaves the device, the one before goes from pinned memory to its place.
  void copy_back(void* to, const void* from, int64_t bytes, cudaStream_t stream) {
    const auto place = [&](int64_t first) {
      const Piece& piece = pieces_[static_cast<size_t>(first / kPiece) % pieces_.size()];
      check(cudaEventSynchronize(piece.sent), "download", "cudaEventSynchronize");
      parallel_for(std::min(kPiece, bytes - first), kGrain, [&](int64_t begin, int64_t end) {
        std::memcpy(static_cast<char*>(to) + first + begin, static_cast<const char*>(piece.memory) + begin,
                    static_cast<size_t>(end - begin));
      });
    };
    for (const Piece& piece : pieces_) check(cudaEventSynchronize(piece.sent), "download", "cudaEventSynchronize");
    for (int64_t first = 0; first < bytes; first += kPiece) {
      const Piece& piece = pieces_[static_cast<size_t>(first / kPiece) % pieces_.size()];
      check(cudaMemcpyAsync(piece.memory, static_cast<const char*>(from) + first, static_cast<size_t>(std::min(kPiece, bytes - first)),
                            cudaMemcpyDeviceToHost, stream),
            "download", "cudaMemcpyAsync");
      check(cudaEventRecord(piece.sent, stream), "download", "cudaEventRecord");
      if (first > 0) place(first - kPiece);
    }
    place((bytes - 1) / kPiece * kPiece);
  }

  void copy(void* to, const void* from, int64_t bytes, cudaStream_t stream) {
    for (int64_t first = 0; first < bytes; first += kPiece) {
      const Piece& piece = pieces_[turn_++ % pieces_.size()];
      const int64_t size = std::min(kPiece, bytes - first);
      const char* source = static_cast<const char*>(from) + first;
      check(cudaEventSynchronize(piece.sent), "upload", "cudaEventSynchronize");
      parallel_for(size, kGrain, [&](int64_t begin, int64_t end) {
        std::memcpy(static_cast<char*>(piece.memory) + begin, source + begin, static_cast<size_t>(end - begin));
      });
      check(cudaMemcpyAsync(static_cast<char*>(to) + first, piece.memory, static_cast<size_t>(size), cudaMemcpyHostToDevice, stream),
            "upload", "cudaMemcpyAsync");
      check(cudaEventRecord(piece.sent, stream), "upload", "cudaEventRecord");
    }
  }

 private:
  static constexpr int64_t kPiece = int64_t{8} << 20, kGrain = int64_t{512} << 10;

  struct Piece {
    void* memory = nullptr;
    cudaEvent_t sent = nullptr;
  };
  std::array<Piece, 4> pieces_;
  size_t turn_ = 0;
};

StreamAllocator::StreamAllocator(int index, cudaStream_t stream)
    : index_(index), stream_(stream), meter_(memory_meter({DeviceKind::kCuda, index})) {}
StreamAllocator::~StreamAllocator() = default;

void* StreamAllocator::allocate(int64_t bytes) {
  check(cudaSetDevice(index_), "allocate", "cudaSetDevice");
  void* pointer = nullptr;
  const cudaError_t status =
      meter_.refuses() ? cudaErrorMemoryAllocation : cudaMalloc(&pointer, static_cast<size_t>(bytes > 0 ? bytes : 1));
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
  meter_.took(pointer, bytes);
  return pointer;
}

void StreamAllocator::release(void* pointer) noexcept {
  cudaSetDevice(index_);
  meter_.gave_back(pointer);
  cudaFree(pointer);
}

void StreamAllocator::copy_from_host(void* to, const void* from, int64_t bytes) {
  LINEA_ASSERT(!recording_stream());  // it would happen now, and not again with the recorded work
  check(cudaSetDevice(index_), "upload", "cudaSetDevice");
  if (bytes >= Staging::kLeast) {
    const std::lock_guard lock(staging_mutex_);
    if (!staging_) staging_ = std::make_unique<Staging>();
    return staging_->copy(to, from, bytes, stream_);
  }
  // Pageable memory is staged by the runtime before it returns.
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream_), "upload", "cudaMemcpyAsync");
}

void StreamAllocator::copy_to_host(void* to, const void* from, int64_t bytes) {
  LINEA_ASSERT(!recording_stream());
  check(cudaSetDevice(index_), "download", "cudaSetDevice");
  if (bytes >= Staging::kLeast) {
    const std::lock_guard lock(staging_mutex_);
    if (!staging_) staging_ = std::make_unique<Staging>();
    return staging_->copy_back(to, from, bytes, stream_);
  }
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream_), "download", "cudaMemcpyAsync");
  check(cudaStreamSynchronize(stream_), "download", "cudaStreamSynchronize");
}

}  // namespace linea::cuda
