// app/engine/quantise.h: a language model written in a smaller type.
#pragma once

#include <filesystem>
#include <string>

#include "core/cancel.h"
#include "core/progress.h"

namespace linea {

// Writes `model` (as in open_language_model) to `file`, a .gguf, with matrices of this type ("q4_k", …: lm/convert.h). The file appears
// complete or not at all. Throws kUsage, kModel, kIo; kCancelled.
void write_quantised(const std::filesystem::path& model, const std::filesystem::path& file, const std::string& type,
                     const ProgressCallback& progress, const CancelToken& cancel);

}  // namespace linea
