// app/cli/bench_random.h: published configurations with random weights made in memory, timed stage by stage and op by op.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dit/pipeline/aspect_ratio.h"
#include "kernels/bench/bench.h"
#include "kernels/bench/profile.h"

namespace linea::cli {

struct StageTimes {
  std::string name;
  double best_seconds = 0, median_seconds = 0;  // of one call, by the device's clock
  double flops = 0, floor_seconds = 0;          // products and convolutions, and that over the measured GEMM rate
  int64_t weight_bytes = 0, activation_bytes = 0;
  std::vector<bench::OpTotal> ops;  // of one call
};

// "random:sana-0.6b", "random:sana-1.6b", "random:sana-4.8b": the model that "random:" names, if it does. Throws kUsage for unknown ones.
std::optional<std::string> random_model_name(const std::string& model);

// Text encoder (300 tokens), denoising step with guidance, decode; `stages` picks among "text", "step", "decode" (empty = all).
std::vector<StageTimes> time_random_model(Context& ctx, const std::string& name, PictureSize size, int64_t strip_rows,
                                          const std::vector<std::string>& stages, const bench::Rates& rates);

}  // namespace linea::cli
