#include "kernels/backend.h"

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
    return CpuBackend(kernels);
  }();
  return backend;
}

}  // namespace

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
