#include "core/cache_folder.h"

#include <cstdlib>

namespace linea {

namespace fs = std::filesystem;

fs::path cache_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  fs::path folder = variable("XDG_CACHE_HOME");
  if (folder.empty() && !variable("HOME").empty()) folder = variable("HOME") / ".cache";
  if (folder.empty()) folder = fs::temp_directory_path();
  folder /= "linea";
  std::error_code ignored;
  fs::create_directories(folder, ignored);
  return folder;
}

}  // namespace linea
