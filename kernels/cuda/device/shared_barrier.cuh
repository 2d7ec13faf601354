// kernels/cuda/device/shared_barrier.cuh: barriers in shared memory (sm_80), at which some warps announce and others wait, wherever they
// are in their code.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/mma.cuh"

namespace linea::cuda {

// A phase ends when as many threads have arrived as init() said; what they wrote before can be seen by those that waited for it.
class SharedBarrier {
 public:
  // By one thread; __syncthreads() comes between this and the first use.
  __device__ void init(int threads) { asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(address()), "r"(threads) : "memory"); }

  __device__ void arrive() {
    [[maybe_unused]] uint64_t phase;
    asm volatile("mbarrier.arrive.shared.b64 %0, [%1];" : "=l"(phase) : "r"(address()) : "memory");
  }

  // Until phase `turn`, counted from 0, has ended; at most one phase later.
  __device__ void wait(int turn) {
    uint32_t done = 0;
    while (!done) {
#if __CUDA_ARCH__ >= 900
      asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}\n"
#else
      asm volatile("{\n.reg .pred p;\nmbarrier.test_wait.parity.shared.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}\n"
#endif
                   : "=r"(done)
                   : "r"(address()), "r"(turn & 1)
                   : "memory");
    }
  }

 private:
  __device__ uint32_t address() const { return shared_address(this); }

  uint64_t state_;
};

}  // namespace linea::cuda
