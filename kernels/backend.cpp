#include "kernels/backend.h"

#include <chrono>

#include "core/error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/onednn.h"

namespace linea {
namespace {

Backend& cpu_backend() {
  static CpuBackend backend = [] {
    const cpu::Kernels& kernels = cpu::chosen_kernels();
    cpu::onednn::limit_isa(kernels.name);
    return CpuBackend(kernels, cpu::chosen_tiles());
  }();
  return backend;
}

class HostTimeMark final : public Backend::TimeMark {
 public:
  double seconds_until(const TimeMark& later) const override {
    return std::chrono::duration<double>(static_cast<const HostTimeMark&>(later).time_ - time_).count();
  }

 private:
  std::chrono::steady_clock::time_point time_ = std::chrono::steady_clock::now();
};

}  // namespace

std::unique_ptr<Backend::TimeMark> Backend::mark_time() { return std::make_unique<HostTimeMark>(); }

#if defined(LINEA_CUDA)
Backend& cuda_backend(int index);  // kernels/cuda/cuda_backend.cpp
#else
Backend& cuda_backend(int index) {
  throw Error(ErrorKind::kDevice, "device cuda:" + std::to_string(index) + " cannot be used: this program was built without CUDA",
              "choose --device cpu, or build with LINEA_CUDA=ON");
}
#endif

Backend& backend_of(Device device) { return device.is_cpu() ? cpu_backend() : cuda_backend(device.index); }

}  // namespace linea
