// The file of chosen matrix product algorithms. Skipped where there is no device, whose name the file has.
#include "kernels/cuda/algorithm_cache.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/devices.h"
#include "tests/support/temporary_folder.h"

namespace linea::test {
namespace {

using cuda::AlgorithmCache;

class CudaAlgorithmCache : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!cuda_available()) GTEST_SKIP() << "no CUDA device";
    setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1);
  }
  void TearDown() override { unsetenv("XDG_CACHE_HOME"); }

  int64_t files() const {
    const std::filesystem::directory_iterator begin(folder_ / "linea");
    return std::distance(begin, std::filesystem::directory_iterator());
  }
  static AlgorithmCache::Key key(int64_t rows) { return {3, rows, 0, 64}; }
  static AlgorithmCache::Algorithm algorithm(uint64_t word) {
    AlgorithmCache::Algorithm a = {};
    a.data[0] = word;
    return a;
  }
  static void expect_kept(const AlgorithmCache& cache, int64_t rows, uint64_t word) {
    const auto* found = cache.find(key(rows));
    ASSERT_NE(found, nullptr) << rows;
    ASSERT_TRUE(found->has_value()) << rows;
    EXPECT_EQ((*found)->data[0], word);
  }

  TemporaryFolder folder_;
};

TEST_F(CudaAlgorithmCache, KeepsChoicesForTheNextStart) {
  AlgorithmCache cache(0);
  EXPECT_EQ(cache.find(key(1)), nullptr);
  cache.add(key(1), algorithm(7));
  cache.add(key(2), std::nullopt);  // the library has none
  EXPECT_EQ(files(), 0);
  cache.save();
  EXPECT_EQ(files(), 1);
  const AlgorithmCache next(0);
  expect_kept(next, 1, 7);
  ASSERT_NE(next.find(key(2)), nullptr);
  EXPECT_FALSE(next.find(key(2))->has_value());
}

TEST_F(CudaAlgorithmCache, KeepsWhatAnotherProcessChose) {
  AlgorithmCache one(0), other(0);
  one.add(key(1), algorithm(7));
  other.add(key(2), algorithm(8));
  one.save();
  other.save();
  const AlgorithmCache next(0);
  expect_kept(next, 1, 7);
  expect_kept(next, 2, 8);
}

TEST_F(CudaAlgorithmCache, ABrokenFileIsMadeAnew) {
  AlgorithmCache cache(0);
  cache.add(key(1), algorithm(7));
  cache.save();
  std::filesystem::path file;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "linea")) file = entry.path();
  std::ofstream(file) << "{\"format\": \"linea matrix product algorithms 1\", \"algorithms\": [{\"key\": [1]}]}";
  AlgorithmCache next(0);
  EXPECT_EQ(next.find(key(1)), nullptr);
  next.add(key(2), algorithm(8));
  next.save();
  expect_kept(AlgorithmCache(0), 2, 8);
}

}  // namespace
}  // namespace linea::test
