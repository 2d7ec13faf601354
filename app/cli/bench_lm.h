// app/cli/bench_lm.h: `linea bench lm`: reading and answering of a language model beside their floors.
#pragma once

#include <optional>
#include <string>

#include "kernels/bench/bench.h"

namespace linea::cli {

// Prints times of decoding a token and of reading 1, 16, 256 and 1024 tokens. The floor is the larger of arithmetic over the GEMM rate and
// bytes (weights as they lie in the file, and the state read and written) over the copy rate.
int bench_language_model(const std::string& model, Device device, std::optional<DType> dtype, const bench::Rates& rates, bool json);

}  // namespace linea::cli
