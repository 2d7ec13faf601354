#include "core/torch_checkpoint.h"

#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int file = memfd_create("input", MFD_CLOEXEC);
  if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) return 0;
  return linea::fuzz::run([&] {
    volatile uint8_t last = 0;
    const linea::TorchCheckpoint input("/proc/self/fd/" + std::to_string(file));
    for (const auto& [name, tensor] : input.tensors()) {
      if (tensor.bytes() > 0) last = static_cast<const uint8_t*>(tensor.raw())[tensor.bytes() - 1];
    }
    static_cast<void>(last);
  });
}
