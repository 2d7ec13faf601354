// app/cli/bench_picture.h: the stages of a picture with a model folder, beside their floors and beside the reference.
#pragma once

#include <string>
#include <vector>

#include "dit/pipeline/pipeline.h"
#include "kernels/bench/bench.h"

namespace linea::cli {

struct RateRow {
  std::string name;
  double seconds = 0, flops = 0, floor = 0;
  double reference = 0;  // seconds of the reference implementation; 0 = not measured
};

// Text encoder (a text that fills the model's positions, without an instruction), denoising step with guidance, decode. `compare`: times
// the reference's, too (bench_compare.h). Throws what the pipeline throws.
std::vector<RateRow> bench_picture(const std::string& model, const PipelineOptions& options, const PictureRequest& request, bool compare,
                                   const bench::Rates& rates);

}  // namespace linea::cli
