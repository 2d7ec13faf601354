#include "kernels/cuda/device_facts.h"

#include <cuda_runtime_api.h>

#include <map>
#include <mutex>

#include "kernels/cuda/check.h"
#include "kernels/cuda/device/hopper.cuh"

namespace linea::cuda {
namespace {

// Never launched: it has shared memory only where it was compiled for sm_90a.
__global__ void probe_kernel(int* values) {
#if LINEA_HOPPER_CODE
  __shared__ int turned[32];
  turned[threadIdx.x] = values[threadIdx.x];
  __syncthreads();
  values[threadIdx.x] = turned[31 - threadIdx.x];
#endif
}

bool has_hopper_code() {
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, probe_kernel), "device", "cudaFuncGetAttributes");
  return attributes.sharedSizeBytes > 0;
}

struct Facts {
  int major = 0, minor = 0, processors = 0, shared_bytes = 0;
  int clock = 0, memory_clock = 0, memory_bits = 0;  // kHz
  bool hopper_code = false;
};

Facts facts_of(int device) {
  static std::mutex mutex;
  static auto& known = *new std::map<int, Facts>;
  const std::lock_guard lock(mutex);
  const auto [place, is_new] = known.emplace(device, Facts());
  if (is_new) {
    const auto ask = [device](int& value, cudaDeviceAttr attribute) {
      check(cudaDeviceGetAttribute(&value, attribute, device), "device", "cudaDeviceGetAttribute");
    };
    ask(place->second.major, cudaDevAttrComputeCapabilityMajor);
    ask(place->second.minor, cudaDevAttrComputeCapabilityMinor);
    ask(place->second.processors, cudaDevAttrMultiProcessorCount);
    ask(place->second.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin);
    ask(place->second.clock, cudaDevAttrClockRate);
    ask(place->second.memory_clock, cudaDevAttrMemoryClockRate);
    ask(place->second.memory_bits, cudaDevAttrGlobalMemoryBusWidth);
    place->second.hopper_code = has_hopper_code();
  }
  return place->second;
}

}  // namespace

bool is_hopper(int device) {
  const Facts facts = facts_of(device);
  return facts.major == 9 && facts.minor == 0 && facts.hopper_code;
}

int processors_of(int device) { return facts_of(device).processors; }
int64_t shared_bytes_of(int device) { return facts_of(device).shared_bytes; }

double memory_rate_of(int device) {
  const Facts facts = facts_of(device);
  if (facts.clock == 0) return 0;
  return 2.0 * facts.memory_clock * facts.memory_bits / 8 / facts.clock;  // twice a cycle
}

}  // namespace linea::cuda
