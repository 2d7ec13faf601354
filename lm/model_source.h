// lm/model_source.h: a language model's files in whatever naming, as the models know them: the authors' names.
//
// Models bind the names of the authors' checkpoints (blocks.0.att.key.weight, backbone.layers.0.mixer.A_log), with three additions for what
// other formats store otherwise, so that nothing is copied on the way:
//   NAME.T   a low-rank matrix as a linear [out, in], where the authors' NAME is [in, out]
//   A        in place of A_log: -exp(A_log)
//   and tensors of equal elements in another shape.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/checkpoint.h"
#include "core/gguf.h"
#include "core/json.h"

namespace linea {

// Where a safetensors file that `linea convert` wrote has its config.json, in the metadata of its header.
inline constexpr const char* kConfigKey = "linea.config";

struct ModelSource {
  Checkpoint checkpoint;                 // by the authors' names; views of the files
  Json config = Json::object();          // config.json, or the same keys from GGUF's metadata
  std::string config_source;             // what names it in messages
  std::string family;                    // "rwkv4" … "rwkv7", "mamba", "mamba2"
  std::shared_ptr<const GgufFile> gguf;  // the file with the metadata, where it is one
};

// `path` as in open_language_model (lm/model_folder.h). Throws kModel naming the file and what is missing, wrong or unsupported.
ModelSource open_model_source(const std::filesystem::path& path);
// Of tensors in any of the namings but GGUF's, with their config.json (which RWKV does without).
ModelSource make_model_source(const Checkpoint& checkpoint, const std::filesystem::path& config);

}  // namespace linea
