// tests/kernels/fixture.h: one test body for every instruction set of this machine and every type of activations.
//
// Tolerances follow from the types: inputs are rounded before the reference sees them, ops compute in f32 and round once, so the relative
// L2 error is at most u(type) for that rounding plus 2√n · u(f32) for a sum of n terms.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "core/threads.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/ops.h"
#include "tests/support/compare.h"

namespace linea::test {

struct KernelCase {
  const cpu::Kernels* kernels;
  DType dtype;
  const cpu::TileKernels* tiles = nullptr;  // of bf16: the processor's, and everywhere the same code on emulated tiles
};
std::vector<KernelCase> kernel_cases();
std::string name_of_case(const ::testing::TestParamInfo<KernelCase>& info);

class KernelTest : public ::testing::TestWithParam<KernelCase> {
 protected:
  KernelTest();
  ~KernelTest() override { set_thread_count(0); }

  DType dtype() const { return GetParam().dtype; }
  Context& ctx() { return context_; }

  // Random values: of the type under test, of parameters (f32), and views of wider tensors with a pitch.
  Tensor random(Shape shape, float scale = 1.0f) { return random_tensor(shape, seed_++, dtype(), scale); }
  Tensor random_f32(Shape shape, float scale = 1.0f) { return random_tensor(shape, seed_++, DType::kF32, scale); }
  Tensor pitched(Shape shape, float scale = 1.0f) { return view(random(widened(shape), scale), shape); }

  // An output: NaN-filled, contiguous or a view of a wider tensor whose margins must stay NaN (see expect_close).
  Tensor output(Shape shape) { return poisoned(shape); }
  Tensor pitched_output(Shape shape);

  // Error of a result of the type under test against the reference; `terms` is the length of the longest sum.
  void expect_close(const Tensor& actual, const Tensor& expected, int64_t terms, const std::string& what, double extra = 0);
  // The op must yield the same bits with 1, 2 and 3 threads.
  void expect_thread_independent(const std::function<Tensor()>& op, const std::string& what);
  // Member b of op(all members) must have the bits of op(member b alone).
  void expect_member_independent(const Tensor& together, const std::function<Tensor(int64_t)>& alone, const std::string& what);
  // The op must fit into the memory that it plans.
  void expect_planned(const std::function<void(Context&)>& op);

 private:
  static Shape widened(Shape shape);
  static Tensor view(const Tensor& wide, Shape shape) { return wide.slice(-1, 3, shape[-1]); }
  Tensor poisoned(Shape shape) const;

  uint64_t seed_ = 1;
  CpuBackend backend_;
  Arena arena_;
  Context context_;
  std::vector<std::pair<Tensor, int64_t>> margins_;  // wide tensor, width of its view
};

}  // namespace linea::test

#define LINEA_KERNEL_SUITE(suite) \
  INSTANTIATE_TEST_SUITE_P(Cpu, suite, ::testing::ValuesIn(::linea::test::kernel_cases()), ::linea::test::name_of_case)
