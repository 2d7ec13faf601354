#include "kernels/cuda/algorithm_cache.h"

#include <algorithm>
#include <bit>
#include <cctype>

#include "core/atomic_file.h"
#include "core/cache_folder.h"
#include "core/error.h"
#include "core/json.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/cublaslt_library.h"

namespace linea::cuda {
namespace {

constexpr const char* kFormat = "linea matrix product algorithms 1";
constexpr int64_t kMaxFileBytes = int64_t{16} << 20;

using Words = std::array<uint64_t, sizeof(cublasLtMatmulAlgo_t) / sizeof(uint64_t)>;

std::string file_name(int device) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "linear", "cudaGetDeviceProperties");
  std::string name = properties.name;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '-');
  return "products-" + name + "-" + std::to_string(cublas_lt().version()) + ".json";
}

}  // namespace

AlgorithmCache::AlgorithmCache(int device) : path_(cache_folder() / file_name(device)) { load(); }

const std::optional<cublasLtMatmulAlgo_t>* AlgorithmCache::find(const Key& key) const {
  const auto found = algorithms_.find(key);
  return found == algorithms_.end() ? nullptr : &found->second;
}

void AlgorithmCache::add(const Key& key, const std::optional<Algorithm>& algorithm) {
  algorithms_[key] = algorithm;
  changed_ = true;
}

void AlgorithmCache::load() {
  std::error_code missing;
  if (!std::filesystem::exists(path_, missing)) return;
  try {
    const Json json = read_json_file(path_, kMaxFileBytes, ErrorKind::kBadFile);
    if (json.at("format") != kFormat) return;
    for (const Json& entry : json.at("algorithms")) {
      const Key key = entry.at("key").get<Key>();
      if (entry.at("algorithm").is_null()) {
        algorithms_.emplace(key, std::nullopt);
      } else {
        const Words words = entry.at("algorithm").get<Words>();
        algorithms_.emplace(key, std::bit_cast<Algorithm>(words));
      }
    }
  } catch (const std::exception&) {  // a file of another form is made anew
  }
}

void AlgorithmCache::save() {
  if (!changed_) return;
  changed_ = false;
  load();  // another process may have added some meanwhile: they are kept
  Json json = {{"format", kFormat}, {"algorithms", Json::array()}};
  for (const auto& [key, algorithm] : algorithms_) {
    json["algorithms"].push_back({{"key", key}, {"algorithm", algorithm ? Json(std::bit_cast<Words>(*algorithm)) : Json()}});
  }
  try {
    write_file(path_, json.dump());
  } catch (const Error&) {  // no place to keep it
  }
}

}  // namespace linea::cuda
