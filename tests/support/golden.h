// tests/support/golden.h: reference tensors under tests/data, each made by the script in tests/golden that its name says.
#pragma once

#include <string>

#include "core/safetensors.h"
#include "kernels/ops.h"

namespace linea::test {

std::string data_path(const std::string& relative);    // tests/data/<relative>
std::string assets_path(const std::string& relative);  // assets/<relative>

// Where golden tests of models run: the CPU, or LINEA_TEST_DEVICE (for example cuda:0).
Device test_device();

class Golden {
 public:
  explicit Golden(const std::string& file) : file_(data_path(file)) {}
  Tensor operator[](const std::string& name) const;  // throws when absent
  bool contains(const std::string& name) const { return file_.tensors().contains(name); }

 private:
  SafetensorsFile file_;
};

// A context with an arena large enough for the tests' small models; on the test device if no other is named.
class TestContext {
 public:
  explicit TestContext(DType dtype = DType::kF32, int64_t arena_bytes = int64_t{512} << 20, Device device = test_device());
  Context& operator*() { return context_; }
  Context* operator->() { return &context_; }

 private:
  Arena arena_;
  Context context_;
};

}  // namespace linea::test
