// core/random.h: PyTorch's normal noise, computed on the CPU.
//
// The same seed gives the noise that torch.randn draws in float32, to within 2e-6 (torch's own vector mathematics differs by that much
// between machines). Our own values are the same bits on every machine and for every number of threads: no library's logarithm, sine or
// fused multiply-add takes part. One generator per thread.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <string>

namespace linea {

// torch.Generator("cpu"): MT19937 seeded with the low 32 bits of the seed.
class TorchCpuGenerator {
 public:
  explicit TorchCpuGenerator(uint64_t seed) : engine_(static_cast<uint32_t>(seed)) {}

  // As one torch.randn of this size; a further call goes on where this one stopped.
  void normal(std::span<float> values);

 private:
  float uniform() { return static_cast<float>(engine_() & 0xffffffu) * 0x1p-24f; }
  double uniform53();
  double normal_double();

  std::mt19937 engine_;
  std::optional<double> spare_;  // torch draws small tensors in pairs and keeps the second of a pair for the next small one
};

// What the order of torch's CUDA noise depends on: draws larger than the resident threads of the GPU wrap around.
struct GpuProfile {
  int64_t multiprocessors = 132;
  int64_t threads_per_multiprocessor = 2048;
  bool operator==(const GpuProfile&) const = default;
};

// "h100", "h200", "a100", "l40s", "rtx4090", "rtx3090", or MULTIPROCESSORSxTHREADS such as "132x2048". Throws kUsage.
GpuProfile parse_gpu_profile(const std::string& name);

// torch.Generator("cuda"): Philox4x32-10, in the order of torch's kernel on a GPU of the given profile.
class TorchCudaGenerator {
 public:
  explicit TorchCudaGenerator(uint64_t seed, GpuProfile profile = {}) : seed_(seed), profile_(profile) {}

  // As one torch.randn of this size on the GPU; a further call goes on where this one stopped.
  void normal(std::span<float> values);

 private:
  uint64_t seed_;
  uint64_t block_ = 0;  // torch's offset / 4: Philox blocks that every thread has used
  GpuProfile profile_;
};

}  // namespace linea
