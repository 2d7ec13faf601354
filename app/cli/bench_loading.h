// app/cli/bench_loading.h: how fast weights come from a model folder's files, and from the host's memory, to a device.
#pragma once

#include <string>

#include "dit/pipeline/pipeline.h"
#include "kernels/backend.h"

namespace linea::cli {

// Bytes a second, each beside the rate of whatever it cannot be faster than: layers streamed from pinned memory beside one large copy;
// the weights of `model` from its files, once with nothing of them in the system's file cache and once with everything, beside reading
// the same files. Prints a table, or JSON. Throws kUsage for the CPU, where weights are used where they are mapped, and for random models.
int bench_loading(Context& ctx, const std::string& model, const PipelineOptions& options, bool json);

}  // namespace linea::cli
