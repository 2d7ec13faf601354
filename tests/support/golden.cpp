#include "tests/support/golden.h"

#include "kernels/backend.h"

namespace linea::test {

std::string data_path(const std::string& relative) { return std::string(LINEA_TEST_DATA) + "/" + relative; }
std::string assets_path(const std::string& relative) { return std::string(LINEA_ASSETS) + "/" + relative; }

Tensor Golden::operator[](const std::string& name) const {
  const auto found = file_.tensors().find(name);
  if (found == file_.tensors().end()) throw Error(ErrorKind::kInternal, file_.path().string() + ": no golden tensor " + name);
  return found->second;
}

TestContext::TestContext(DType dtype, int64_t arena_bytes) : arena_(kCpuDevice, arena_bytes) {
  context_.backend = &backend_of(kCpuDevice);
  context_.arena = &arena_;
  context_.dtype = dtype;
}

}  // namespace linea::test
