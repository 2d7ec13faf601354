#include "app/cli/bench_compare.h"

#include <unistd.h>

#include <cstdlib>

#include "app/engine/command_line.h"
#include "app/engine/model_folders.h"
#include "core/json.h"
#include "core/threads.h"
#include "dit/pipeline/model_source.h"

namespace linea::cli {
namespace {

namespace fs = std::filesystem;

std::string from_environment(const char* name, const std::string& fallback) {
  const char* value = std::getenv(name);
  return value && *value ? value : fallback;
}

}  // namespace

std::map<std::string, double> reference_seconds(const std::string& folder, PictureSize size, Device device, DType dtype) {
  if (size.width != size.height) throw Error(ErrorKind::kUsage, "--compare: the reference is timed on square pictures");
  const std::string python = from_environment("LINEA_PYTHON", "python3");
  const std::string script = from_environment(
      "LINEA_REFERENCE", (assets_folder().parent_path() / "tests/device/reference_picture.py").lexically_normal().string());
  std::error_code error;
  if (!fs::exists(script, error))
    throw Error(ErrorKind::kUsage, "--compare: " + script + " is not there", "set LINEA_REFERENCE to the script");
  if (std::system((shell_quote(python) + " -c 'import diffusers, torch, transformers' >/dev/null 2>&1").c_str()) != 0) {
    throw Error(ErrorKind::kUsage, "--compare: " + python + " cannot import diffusers, torch and transformers",
                "install them, or set LINEA_PYTHON to a Python that has them");
  }
  const fs::path result = fs::temp_directory_path() / ("linea-reference-" + std::to_string(::getpid()) + ".json");
  std::string line = shell_quote(python) + " " + shell_quote(script) + " --sizes " + std::to_string(size.width) + " --json " +
                     shell_quote(result.string()) + " --device " + device.name() + " --dtype " +
                     (dtype == DType::kF32   ? "float32"
                      : dtype == DType::kF16 ? "float16"
                                             : "bfloat16") +
                     " --threads " + std::to_string(thread_count());
  if (!is_random_model(folder)) line += " --model " + shell_quote(folder);
  const int status = std::system((line + " >/dev/null").c_str());
  if (status != 0 || !fs::exists(result, error)) {
    throw Error(ErrorKind::kUsage, "--compare: the reference ended with status " + std::to_string(status), line);
  }
  const Json json = read_json_file(result, 1 << 20, ErrorKind::kBadFile);
  fs::remove(result, error);
  std::map<std::string, double> seconds;
  for (const auto& [name, figures] : json.items()) seconds[name.substr(0, name.find(' '))] = 1e-3 * figures.at("ms").get<double>();
  return seconds;
}

}  // namespace linea::cli
