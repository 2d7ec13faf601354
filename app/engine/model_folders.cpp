#include "app/engine/model_folders.h"

#include <cstdlib>
#include <vector>

#include "core/error.h"
#include "dit/pipeline/model_source.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefaultPictureModel = "sana-mini";

std::string built_in_names() {
  std::string names;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(assets_folder() / "models", ignored)) {
    if (fs::exists(entry.path() / "model_index.json", ignored)) names += (names.empty() ? "" : ", ") + entry.path().filename().string();
  }
  return names.empty() ? "none" : names;
}

}  // namespace

fs::path assets_folder() {
  if (const char* folder = std::getenv("LINEA_ASSETS")) return folder;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    for (fs::path folder = program.parent_path(); folder.has_relative_path(); folder = folder.parent_path()) {
      for (const fs::path& candidate : {folder / "assets", folder / "share" / "linea"}) {
        if (fs::is_directory(candidate / "models", error)) return candidate;
      }
    }
  }
  return LINEA_SOURCE_ASSETS;
}

fs::path find_picture_model(const std::string& name_or_path) {
  std::error_code error;
  if (name_or_path.empty()) {
    const fs::path folder = assets_folder() / "models" / kDefaultPictureModel;
    if (fs::is_directory(folder, error)) return folder;
    throw Error(ErrorKind::kModel, "the built-in model is missing: " + folder.string(), "set LINEA_ASSETS or give --model");
  }
  if (is_random_model(name_or_path) || fs::is_directory(name_or_path, error)) return name_or_path;
  const fs::path built_in = assets_folder() / "models" / name_or_path;
  if (name_or_path.find('/') == std::string::npos && fs::is_directory(built_in, error)) return built_in;
  const bool exists = fs::exists(name_or_path, error);
  throw Error(ErrorKind::kModel, "--model: " + name_or_path + (exists ? " is not a folder" : ": no such folder"),
              "give a model folder in the diffusers layout, or a built-in model: " + built_in_names());
}

}  // namespace linea
