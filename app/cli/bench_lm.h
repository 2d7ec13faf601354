// app/cli/bench_lm.h: `linea bench lm`: reading and answering of a language model beside their floors.
#pragma once

#include <optional>
#include <string>

#include "kernels/bench/bench.h"

namespace linea::cli {

// Prints times of decoding a token, alone and of `batch` texts together (1 = alone only), and of reading 1, 16, 256 and 1024 tokens. The
// floor is the larger of arithmetic over the GEMM rate and bytes (weights as they are multiplied, and states read and written) over the
// copy rate.
struct LanguageModelBench {
  std::string model;
  Device device;
  std::optional<DType> dtype;
  int64_t batch = 1;
  bool json = false;
};
int bench_language_model(const LanguageModelBench& o, const bench::Rates& rates);

}  // namespace linea::cli
