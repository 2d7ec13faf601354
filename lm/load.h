// lm/load.h: the one place that tells recurrent language models apart.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/checkpoint.h"
#include "lm/language_model.h"
#include "lm/model_source.h"

namespace linea {

// Of a checkpoint by the authors' names: "rwkv4" … "rwkv7", "mamba" or "mamba2". Throws kModel for other models.
std::string family_of(const Checkpoint& checkpoint);

// Throws kModel for tensors that are missing, misshapen or unknown, and for configurations that are not supported.
std::unique_ptr<LanguageModel> load_language_model(Context& ctx, const ModelSource& source);
// Of tensors in any naming but GGUF's. RWKV-4 to 7 are recognised by their tensors; Mamba and Mamba-2 need the `config` file (config.json)
// as well.
std::unique_ptr<LanguageModel> load_language_model(Context& ctx, const Checkpoint& checkpoint, const std::filesystem::path& config);

}  // namespace linea
