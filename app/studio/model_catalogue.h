// app/studio/model_catalogue.h: which models there are, found by looking at folders and the heads of files; no weights are read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace linea::studio {

enum class ModelKind : uint8_t { kPicture, kChat };

struct ModelEntry {
  std::string name;   // what jobs call it: a built-in name, or the path
  std::string title;  // for people
  std::filesystem::path path;
  ModelKind kind = ModelKind::kPicture;
  std::string family;     // "SANA", "RWKV-7", "Mamba-2"
  std::string precision;  // "bf16"; "bf16, f32" for a mixture
  int64_t bytes = 0, parameters = 0;
  int native_side = 0;               // pixels, of picture models
  std::vector<std::string> missing;  // "text_encoder/model.safetensors": parts that are not there
  std::string problem;               // why it cannot be used; empty = it can
  bool built_in = false;

  bool ready() const { return missing.empty() && problem.empty(); }
};

// Looks at the built-in models, at `folders` and one level below each of them. What is no model is left out, but a folder or file that was
// named itself is always reported. Waits for the disk.
std::vector<ModelEntry> find_models(const std::vector<std::string>& folders);
// One folder or file. Its `problem` is set when it is no model.
ModelEntry look_at_model(const std::filesystem::path& path);

}  // namespace linea::studio
