// tests/kernels/cuda_parity.h: runs an op on the CPU and on the first CUDA device with the same inputs. Skipped where there is no device.
//
// Both sides compute in f32 and round once (twice where a product in 16 bits is followed by an epilogue), so they differ by a rounding of
// the type here and there: the bounds are 2 u(type), and for f32 the different order of sums.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/devices.h"
#include "kernels/ops.h"
#include "tests/support/compare.h"

namespace linea::test {

inline constexpr Device kCuda{DeviceKind::kCuda, 0};
inline constexpr int64_t kMargin = 8;  // channels beside a view, on either side

// The same tensor on both devices, perhaps a view of a wider one.
struct Pair {
  std::array<Tensor, 2> wide, view;
  const Tensor& operator[](int side) const { return view[static_cast<size_t>(side)]; }

  template <class F> Pair map(F f) const { return {wide, {f(view[0]), f(view[1])}}; }
  Pair reshape(Shape shape) const {
    return map([&](const Tensor& t) { return t.reshape(shape); });
  }
  Pair slice(int dimension, int64_t start, int64_t count) const {
    return map([&](const Tensor& t) { return t.slice(dimension, start, count); });
  }
};

// What Mamba2Heads takes of T tokens: G groups of N for H heads of P.
struct Mamba2Inputs {
  Pair q, k, v, step, gate, step_bias, rate, skip;

  Mamba2Heads of(int side, int64_t first, int64_t count) const {
    const auto part = [&](const Pair& x) { return x[side].slice(0, first, count); };
    return {.q = part(q),
            .k = part(k),
            .v = part(v),
            .step = part(step),
            .gate = part(gate),
            .step_bias = step_bias[side],
            .rate = rate[side],
            .skip = skip[side]};
  }
};

class CudaParity : public ::testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    if (!cuda_available()) GTEST_SKIP() << "no CUDA device";
    for (const Device device : {kCpuDevice, kCuda}) {
      backends_.push_back(&backend_of(device));
      arenas_.emplace_back(device, int64_t{64} << 20);
    }
  }

  DType dtype() const { return GetParam(); }
  Context context(int side) {
    Context ctx;
    ctx.backend = backends_[static_cast<size_t>(side)];
    ctx.arena = &arenas_[static_cast<size_t>(side)];
    ctx.dtype = dtype();
    return ctx;
  }

  static Pair both_devices(const Tensor& host) {
    const Tensor device = host.to(kCuda);
    return {{host, device}, {host, device}};
  }
  Pair random(Shape shape, float scale = 1.0f) { return both_devices(random_tensor(shape, seed_++, dtype(), scale)); }
  Pair floats(Shape shape, float scale = 1.0f) { return both_devices(random_tensor(shape, seed_++, DType::kF32, scale)); }
  Pair pitched(Shape shape, float scale = 1.0f) { return narrow(random(widened(shape), scale), shape); }
  Pair output(Shape shape, DType type) {
    const Tensor host(shape, type);
    std::memset(host.raw(), 0xff, static_cast<size_t>(host.bytes()));
    return both_devices(host);
  }
  Pair output(Shape shape) { return output(shape, dtype()); }
  Pair pitched_output(Shape shape) { return narrow(output(widened(shape)), shape); }

  Mamba2Inputs mamba2_inputs(int64_t T, int64_t G, int64_t H, int64_t N, int64_t P, const Pair& rate) {
    return {.q = pitched({T, G * N}).reshape({T, G, N}),
            .k = pitched({T, G * N}, 0.1f).reshape({T, G, N}),
            .v = pitched({T, H * P}).reshape({T, H, P}),
            .step = pitched({T, H}),
            .gate = pitched({T, H * P}).reshape({T, H, P}),
            .step_bias = floats({H}),
            .rate = rate,
            .skip = floats({H})};
  }

  std::array<Weight, 2> linear_weight(int64_t out, int64_t in) {
    const Tensor w = random_tensor({out, in}, seed_++, dtype(), 1 / std::sqrt(static_cast<float>(in)));
    Context cpu = context(0), cuda = context(1);
    return {prepare_linear(cpu, w), prepare_linear(cuda, w)};
  }
  std::array<Weight, 2> conv_weight(int64_t out, int64_t in, int64_t k) {
    const Tensor w = random_tensor({out, in, k, k}, seed_++, dtype(), 1 / std::sqrt(static_cast<float>(in * k * k)));
    Context cpu = context(0), cuda = context(1);
    return {prepare_conv2d(cpu, w), prepare_conv2d(cuda, w)};
  }

  // Runs an op on both sides; on the device in exactly the memory that it plans.
  void run(const std::function<void(Context&, int side)>& op) {
    Context cpu = context(0);
    op(cpu, 0);
    Arena plan = Arena::planning(kCuda);
    Context planning = context(1);
    planning.arena = &plan;
    op(planning, 1);
    Arena exact(kCuda, plan.peak());
    Context running = context(1);
    running.arena = &exact;
    op(running, 1);
    running.backend->synchronize();
  }

  void expect_close(const Pair& y, const std::string& what, double f32_bound = 3e-6) const {
    const double bound = dtype() == DType::kF32 ? f32_bound : dtype() == DType::kBF16 ? 0x1p-7 : 0x1p-10;
    const Tensor wide = y.wide[1].to(kCpuDevice);
    const Tensor expected = to_double(y.wide[0]), actual = to_double(wide);
    ASSERT_EQ(expected.elements(), actual.elements());
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < expected.elements(); ++i) {
      const double e = expected.data<double>()[i], a = actual.data<double>()[i];
      ASSERT_EQ(std::isnan(e), std::isnan(a)) << what << ": element " << i << " is " << a << ", expected " << e;
      if (std::isnan(e)) continue;
      difference += (a - e) * (a - e);
      norm += e * e;
    }
    EXPECT_LE(std::sqrt(difference / std::max(norm, 1e-300)), bound) << what << " " << y[1].describe();
  }

  void expect_same_bits(const Tensor& a, const Tensor& b, const std::string& what) const {
    EXPECT_TRUE(same_bits(a.to(kCpuDevice), b.to(kCpuDevice))) << what << " " << a.describe();
  }

 private:
  static Shape widened(Shape shape) {
    shape[-1] += 2 * kMargin;
    return shape;
  }
  static Pair narrow(const Pair& pair, Shape shape) { return pair.slice(-1, kMargin, shape[-1]); }

  uint64_t seed_ = 1;
  std::vector<Backend*> backends_;
  std::vector<Arena> arenas_;
};

inline std::string name_of_type(const ::testing::TestParamInfo<DType>& info) { return std::string(name_of(info.param)); }

}  // namespace linea::test
