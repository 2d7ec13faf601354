#include "core/random.h"

#include <bit>
#include <cmath>

#include "core/threads.h"
#include "tests/core/fixtures.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

constexpr float kTolerance = 2e-6f;  // torch's vector logarithm and sine against exact ones; seen: 1.5e-6

std::vector<float> draw(TorchCpuGenerator& generator, size_t count) {
  std::vector<float> values(count);
  generator.normal(values);
  return values;
}

std::vector<float> draw(TorchCudaGenerator& generator, size_t count) {
  std::vector<float> values(count);
  generator.normal(values);
  return values;
}

// FNV-1a over the bits.
uint64_t fingerprint(const std::vector<float>& values) {
  uint64_t hash = 14695981039346656037ull;
  for (const float value : values) hash = (hash ^ std::bit_cast<uint32_t>(value)) * 1099511628211ull;
  return hash;
}

void expect_begins(const std::vector<float>& values, const std::vector<float>& expected, float tolerance) {
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(values[i], expected[i], tolerance) << i;
}

class CpuNoise : public testing::TestWithParam<uint64_t> {};

TEST_P(CpuNoise, EqualsTorch) {
  const test::Golden golden("noise.safetensors");
  const std::string seed = std::to_string(GetParam());
  for (const size_t size : {1, 5, 15, 16, 17, 100, 32 * 16 * 16, 1000003}) {
    TorchCpuGenerator generator(GetParam());
    for (const int call : {0, 1}) {
      const std::string name = seed + "." + std::to_string(size) + "." + std::to_string(call);
      const std::vector<float> values = draw(generator, size);
      const Tensor expected = golden[name], moments = golden[name + ".moments"];
      const size_t kept = static_cast<size_t>(expected.elements());  // all, or as many from either end
      for (size_t i = 0; i < kept; ++i) {
        const size_t at = kept == size || i < kept / 2 ? i : size - kept + i;
        ASSERT_NEAR(values[at], expected.data<float>()[i], kTolerance) << name << " " << at;
      }
      double sum = 0, squares = 0;
      for (const float value : values) {
        sum += static_cast<double>(value);
        squares += static_cast<double>(value) * static_cast<double>(value);
      }
      EXPECT_NEAR(sum / static_cast<double>(size), moments.data<double>()[0], 2e-6) << name;
      EXPECT_NEAR(squares / static_cast<double>(size), moments.data<double>()[1], 1e-5) << name;
    }
  }
}

TEST_P(CpuNoise, SmallAndLargeDrawsShareOneEngine) {
  const test::Golden golden("noise.safetensors");
  const Tensor expected = golden[std::to_string(GetParam()) + ".mixed"];
  TorchCpuGenerator generator(GetParam());
  std::vector<float> values;
  for (const size_t size : {3, 20, 1, 5, 16, 2}) {
    const std::vector<float> part = draw(generator, size);
    values.insert(values.end(), part.begin(), part.end());
  }
  ASSERT_EQ(static_cast<int64_t>(values.size()), expected.elements());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected.data<float>()[i], kTolerance) << i;
}

INSTANTIATE_TEST_SUITE_P(Seeds, CpuNoise, testing::Values(0u, 42u, (uint64_t{1} << 32) + 7, (uint64_t{1} << 63) + 12345));

TEST(CpuNoise, KnownLatents) {
  TorchCpuGenerator generator(42);
  std::vector<float> values = draw(generator, 32 * 32 * 32);
  expect_begins(values, {1.9269153f, 1.4872841f, 0.9007172f, -2.105521f, 0.67841846f, -1.2345449f, -0.043067478f, -1.6046669f}, kTolerance);
  expect_begins({values.end() - 4, values.end()}, {-1.1337076f, 1.5567799f, 1.906112f, -0.26541179f}, kTolerance);
  expect_begins(draw(generator, 32 * 32 * 32), {-0.78378206f, -0.35688743f, -1.3867873f, 1.4456867f}, kTolerance);
}

TEST(CpuNoise, FirstPictureOfABatchIsThePictureAlone) {
  TorchCpuGenerator one(7), many(7);
  const std::vector<float> alone = draw(one, 32 * 8 * 8);
  std::vector<float> batch = draw(many, 3 * 32 * 8 * 8);
  batch.resize(alone.size());
  EXPECT_EQ(alone, batch);
}

TEST(CudaNoise, KnownLatents) {
  // By cuRAND. Its device code takes the sine from a fast unit: 1e-6 beyond these, which are of the exact one.
  TorchCudaGenerator generator(42);
  expect_begins(draw(generator, 32768), {0.1940189f, 2.161374f, -0.1720506f, 0.8490601f, -1.924399f, 0.6529855f, -0.6494411f, -0.8175247f},
                kTolerance);
  expect_begins(draw(generator, 32768), {0.1391376f, -0.1082158f, -0.717422f, 0.7566486f}, kTolerance);
  TorchCudaGenerator zero(0);
  expect_begins(draw(zero, 32768), {-0.9246624f, -0.4253439f, -2.643846f, 0.1451839f, -0.1208666f, -0.5797257f, -0.6228516f, -0.3283871f},
                kTolerance);
}

TEST(CudaNoise, LargeDrawsWrapAroundTheResidentThreads) {
  const GpuProfile tiny{1, 256};  // 256 threads: element 256 · i of a draw is value i of thread 0
  TorchCudaGenerator generator(42, tiny);
  const std::vector<float> values = draw(generator, 256 * 9);
  expect_begins({values[0], values[256], values[512], values[768]}, {0.1940189f, -0.9701898f, 1.923927f, -1.235621f}, kTolerance);
  TorchCudaGenerator stepwise(42, tiny);
  const std::vector<float> first = draw(stepwise, 1024), second = draw(stepwise, 1024), third = draw(stepwise, 256);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), values.begin()));
  EXPECT_TRUE(std::equal(second.begin(), second.end(), values.begin() + 1024));
  EXPECT_TRUE(std::equal(third.begin(), third.end(), values.begin() + 2048));
}

TEST(CudaNoise, SizesThatFillNoBlockEndInTheSameOrder) {
  for (const size_t size : {1, 255, 257, 1000, 1025}) {
    TorchCudaGenerator generator(5), whole(5);
    const std::vector<float> values = draw(generator, size), reference = draw(whole, 2048);
    EXPECT_TRUE(std::equal(values.begin(), values.end(), reference.begin())) << size;
  }
}

TEST(CudaNoise, IsNormal) {
  TorchCudaGenerator generator(99, {2, 1024});
  const std::vector<float> values = draw(generator, 1 << 20);
  double sum = 0, squares = 0;
  for (const float value : values) {
    ASSERT_TRUE(std::isfinite(value));
    sum += static_cast<double>(value);
    squares += static_cast<double>(value) * static_cast<double>(value);
  }
  EXPECT_NEAR(sum / (1 << 20), 0.0, 5e-3);
  EXPECT_NEAR(squares / (1 << 20), 1.0, 1e-2);
}

TEST(Noise, BitsDependOnTheSeedOnly) {
  const int before = thread_count();
  for (const int threads : {1, 2, 5}) {
    set_thread_count(threads);
    TorchCpuGenerator cpu(123);
    TorchCudaGenerator cuda(123, {4, 1024});
    EXPECT_EQ(fingerprint(draw(cpu, 100'003)), 11473193276977855446ull) << threads;
    EXPECT_EQ(fingerprint(draw(cuda, 100'003)), 8352688388655709393ull) << threads;
  }
  set_thread_count(before);
}

TEST(Noise, EmptyDrawsChangeNothing) {
  TorchCpuGenerator cpu(1), cpu_plain(1);
  TorchCudaGenerator cuda(1), cuda_plain(1);
  draw(cpu, 0);
  draw(cuda, 0);
  EXPECT_EQ(draw(cpu, 16), draw(cpu_plain, 16));
  EXPECT_EQ(draw(cuda, 16), draw(cuda_plain, 16));
}

TEST(GpuProfiles, AreNamedOrGiven) {
  EXPECT_EQ(parse_gpu_profile("h100"), GpuProfile{});
  EXPECT_EQ(parse_gpu_profile("rtx4090"), (GpuProfile{128, 1536}));
  EXPECT_EQ(parse_gpu_profile("82x1536"), (GpuProfile{82, 1536}));
  for (const char* bad : {"", "h999", "0x2048", "132x", "x2048", "132x2048x", "132x100", "-1x2048", "99999999999999999999x1"}) {
    test::expect_error(ErrorKind::kUsage, "unknown GPU profile", [&] { parse_gpu_profile(bad); });
  }
}

}  // namespace
}  // namespace linea
