// app/cli/bench_memory.h: one picture under several limits of memory: time, plan, what was observed, and whether its bits stay the same.
#pragma once

#include <string>
#include <vector>

#include "dit/pipeline/pipeline.h"

namespace linea::cli {

// Each limit as --vram takes it. Prints a table, or JSON. Returns 1 when two pictures differ, else 0.
int bench_memory(const std::string& model, const PipelineOptions& options, const PictureRequest& request,
                 const std::vector<std::string>& limits, bool json);

}  // namespace linea::cli
