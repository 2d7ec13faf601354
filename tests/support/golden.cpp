#include "tests/support/golden.h"

#include <cstdlib>

#include "kernels/backend.h"

namespace linea::test {

Device test_device() {
  const char* name = std::getenv("LINEA_TEST_DEVICE");
  return name && *name ? parse_device(name) : kCpuDevice;
}

std::string data_path(const std::string& relative) {
  const char* moved = std::getenv("LINEA_TEST_DATA");  // for programs that run where they were not built
  return std::string(moved && *moved ? moved : LINEA_TEST_DATA) + "/" + relative;
}
std::string assets_path(const std::string& relative) { return std::string(LINEA_ASSETS) + "/" + relative; }

Tensor Golden::operator[](const std::string& name) const {
  const auto found = file_.tensors().find(name);
  if (found == file_.tensors().end()) throw Error(ErrorKind::kInternal, file_.path().string() + ": no golden tensor " + name);
  return found->second;
}

TestContext::TestContext(DType dtype, int64_t arena_bytes, Device device) : arena_(backend_of(device).device(), arena_bytes) {
  context_.backend = &backend_of(device);
  context_.arena = &arena_;
  context_.dtype = dtype;
}

}  // namespace linea::test
