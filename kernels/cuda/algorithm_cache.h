// kernels/cuda/algorithm_cache.h: the chosen algorithms of matrix products, kept from one start of the program to the next.
#pragma once

#include <cublasLt.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>

namespace linea::cuda {

// A file of the cache folder for each model of GPU and version of the library, outside which an algorithm means nothing. A file that cannot
// be read or written costs the choosing again and nothing else. Not for several threads at once.
class AlgorithmCache {
 public:
  using Key = std::array<int64_t, 14>;  // of a product: see Matmul
  using Algorithm = cublasLtMatmulAlgo_t;

  explicit AlgorithmCache(int device);

  const std::optional<Algorithm>* find(const Key& key) const;  // null when unknown; empty when the library has none
  void add(const Key& key, const std::optional<Algorithm>& algorithm);
  void save();  // what was added since the last time: a write that waits for the disk

 private:
  void load();

  std::filesystem::path path_;
  bool changed_ = false;
  std::map<Key, std::optional<Algorithm>> algorithms_;
};

}  // namespace linea::cuda
