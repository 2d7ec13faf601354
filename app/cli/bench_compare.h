// app/cli/bench_compare.h: the Python reference's times of the same work, measured beside Linea's where Python has it.
#pragma once

#include <map>
#include <string>

#include "dit/pipeline/pipeline.h"

namespace linea::cli {

// Seconds by name ("text", "step", "decode") of transformers and diffusers with the model in `folder`, or with random weights where that
// names a random model. Runs tests/device/reference_picture.py, or the script that $LINEA_REFERENCE names, with $LINEA_PYTHON or python3.
// Throws kUsage, in one line that says what is missing.
std::map<std::string, double> reference_seconds(const std::string& folder, PictureSize size, Device device, DType dtype);

}  // namespace linea::cli
