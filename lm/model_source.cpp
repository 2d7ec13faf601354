#include "lm/model_source.h"

#include "core/mapped_file.h"
#include "lm/checkpoint_names.h"
#include "lm/load.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

// The GGUF file behind a checkpoint, null when it is of another format.
std::shared_ptr<const GgufFile> gguf_of(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return nullptr;
  const MappedFile mapping(file);
  const std::string_view content(reinterpret_cast<const char*>(mapping.data()), static_cast<size_t>(mapping.size()));
  return content.starts_with("GGUF") ? std::make_shared<const GgufFile>(file) : nullptr;
}

}  // namespace

ModelSource make_model_source(const Checkpoint& checkpoint, const fs::path& config) {
  const std::string source = checkpoint.source().string();
  ModelSource result;
  result.checkpoint = Checkpoint::of_tensors(checkpoint.source(), names_from_transformers(checkpoint.tensors(), source));
  result.config_source = config.string();
  result.family = family_of(result.checkpoint);
  std::error_code error;
  if (fs::exists(config, error)) {
    result.config = read_json_file(config);
  } else if (checkpoint.source().extension() == ".safetensors") {
    const SafetensorsFile file(checkpoint.source());
    const auto found = file.metadata().find(kConfigKey);
    if (found != file.metadata().end()) result.config = parse_json(found->second, source + ": " + kConfigKey);
  }
  return result;
}

ModelSource open_model_source(const fs::path& path) {
  const Checkpoint checkpoint = Checkpoint::open_any(path);
  const std::shared_ptr<const GgufFile> gguf = gguf_of(checkpoint.source());
  if (!gguf) return make_model_source(checkpoint, (fs::is_directory(path) ? path : path.parent_path()) / "config.json");
  ModelSource result;
  result.gguf = gguf;
  result.config = config_from_gguf(*gguf);
  result.config_source = gguf->path().string();
  result.family = gguf->text("general.architecture");
  result.checkpoint = Checkpoint::of_tensors(checkpoint.source(), names_from_gguf(*gguf, checkpoint.tensors()));
  return result;
}

}  // namespace linea
