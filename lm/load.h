// lm/load.h: the one place that tells recurrent language models apart.
#pragma once

#include <filesystem>
#include <memory>

#include "core/checkpoint.h"
#include "lm/language_model.h"

namespace linea {

// RWKV-4 to 7 are recognised by their tensors; Mamba and Mamba-2 need the `config` file (config.json) as well. Throws kModel for other
// models and for tensors that are missing, misshapen or unknown.
std::unique_ptr<LanguageModel> load_language_model(Context& ctx, const Checkpoint& checkpoint, const std::filesystem::path& config);

}  // namespace linea
