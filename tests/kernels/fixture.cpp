#include "tests/kernels/fixture.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "kernels/cpu/onednn.h"

#if defined(__x86_64__)
namespace linea::cpu::amx_emulated {
const TileKernels& tile_kernels();
}
#endif

namespace linea::test {

std::vector<KernelCase> kernel_cases() {
  std::vector<KernelCase> cases;
  const char* wanted = std::getenv("LINEA_ISA");
  const bool limited = wanted && *wanted;  // one set, and oneDNN held to it
  if (limited) cpu::onednn::limit_isa(cpu::chosen_kernels().name);
  for (const cpu::Kernels* kernels : cpu::available_kernels()) {
    if (limited && kernels != &cpu::chosen_kernels()) continue;
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) cases.push_back({kernels, dtype});
  }
#if defined(__x86_64__)
  if (&cpu::chosen_kernels() == cpu::available_kernels().back() && cpu::chosen_kernels().lanes == 16) {
    cases.push_back({&cpu::chosen_kernels(), DType::kBF16, &cpu::amx_emulated::tile_kernels()});
    if (cpu::chosen_tiles()) cases.push_back({&cpu::chosen_kernels(), DType::kBF16, cpu::chosen_tiles()});
  }
#endif
  return cases;
}

std::string name_of_case(const ::testing::TestParamInfo<KernelCase>& info) {
  const char* tiles = !info.param.tiles ? "" : info.param.tiles == cpu::chosen_tiles() ? "_tiles" : "_emulated_tiles";
  return std::string(info.param.kernels->name) + "_" + std::string(name_of(info.param.dtype)) + tiles;
}

KernelTest::KernelTest() : backend_(*GetParam().kernels, GetParam().tiles), arena_(kCpuDevice, int64_t{256} << 20) {
  context_.backend = &backend_;
  context_.arena = &arena_;
  context_.dtype = dtype();
}

Shape KernelTest::widened(Shape shape) {
  shape[-1] += 7;
  return shape;
}

Tensor KernelTest::poisoned(Shape shape) const {
  const Tensor t(shape, dtype());
  std::memset(t.raw(), 0xff, static_cast<size_t>(t.bytes()));
  return t;
}

Tensor KernelTest::pitched_output(Shape shape) {
  const Tensor wide = poisoned(widened(shape));
  margins_.emplace_back(wide, shape[-1]);
  return view(wide, shape);
}

void KernelTest::expect_close(const Tensor& actual, const Tensor& expected, int64_t terms, const std::string& what, double extra) {
  const double u_f32 = 0x1p-24;
  const double u = dtype() == DType::kF32 ? u_f32 : dtype() == DType::kBF16 ? 0x1p-8 : 0x1p-11;
  const double bound = u + 2 * std::sqrt(static_cast<double>(terms)) * u_f32 + extra;
  EXPECT_LE(relative_l2(actual, expected), bound)
      << what << ": " << actual.describe() << ", worst element off by " << max_abs_difference(actual, expected);
  for (const auto& [wide, width] : margins_) {
    const Tensor values = to_double(wide);
    const int64_t pitch = wide.dim(-1);
    for (int64_t i = 0; i < values.elements(); ++i) {
      const bool margin = i % pitch < 3 || i % pitch >= 3 + width;
      ASSERT_TRUE(!margin || std::isnan(values.data<double>()[i])) << what << ": wrote beside its output, at element " << i;
    }
  }
  margins_.clear();
}

void KernelTest::expect_thread_independent(const std::function<Tensor()>& op, const std::string& what) {
  set_thread_count(1);
  const Tensor one = op();
  for (const int threads : {2, 3}) {
    set_thread_count(threads);
    EXPECT_TRUE(same_bits(one, op())) << what << ": other bits with " << threads << " threads";
  }
  set_thread_count(0);
}

void KernelTest::expect_member_independent(const Tensor& together, const std::function<Tensor(int64_t)>& alone, const std::string& what) {
  for (int64_t b = 0; b < together.dim(0); ++b) {
    EXPECT_TRUE(same_bits(together.slice(0, b, 1), alone(b))) << what << ": member " << b << " depends on the others";
  }
}

void KernelTest::expect_planned(const std::function<void(Context&)>& op) {
  Arena plan = Arena::planning(kCpuDevice);
  Context planning = context_;
  planning.arena = &plan;
  op(planning);
  Arena exact(kCpuDevice, plan.peak());
  Context running = context_;
  running.arena = &exact;
  EXPECT_NO_THROW(op(running));
  EXPECT_LE(exact.peak(), plan.peak());
}

}  // namespace linea::test
