// linea verify: are the pictures of a batch what its manifest says?
#include <algorithm>
#include <cstdio>
#include <memory>

#include "app/cli/commands.h"
#include "app/cli/options.h"
#include "app/engine/manifest.h"
#include "app/engine/sha256.h"
#include "core/image.h"
#include "core/json.h"
#include "core/text.h"

namespace linea::cli {
namespace {

namespace fs = std::filesystem;

struct VerifyOptions {
  std::string folder;
  bool json = false, quiet = false;
};

// Empty = sound.
std::string problem_of(const fs::path& path, const ManifestEntry& entry) {
  std::error_code error;
  if (!fs::exists(path, error)) return "missing";
  const auto bytes = static_cast<int64_t>(fs::file_size(path, error));
  if (bytes != entry.bytes) return std::to_string(bytes) + " bytes instead of " + std::to_string(entry.bytes);
  try {
    if (sha256_of_file(path) != entry.sha256) return "its SHA-256 differs from the manifest's";
    const Image image = read_image(path);
    if (image.width != entry.width || image.height != entry.height) {
      return std::to_string(image.width) + "x" + std::to_string(image.height) + " instead of " + std::to_string(entry.width) + "x" +
             std::to_string(entry.height);
    }
  } catch (const Error& failure) {
    return failure.what();
  }
  return {};
}

// Pictures and temporary files that no manifest names.
std::vector<std::string> strangers(const fs::path& folder, const std::map<std::string, ManifestEntry>& entries) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (entry->is_directory(error)) {
      if (name.starts_with(".linea-")) entry.disable_recursion_pending();
      continue;
    }
    const std::string extension = entry->path().extension().string();
    const bool picture = extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".webp";
    const std::string file = entry->path().lexically_relative(folder).string();
    if (extension == ".part" || (picture && !entries.contains(file))) files.push_back(file);
  }
  std::sort(files.begin(), files.end());
  return files;
}

int verify(const VerifyOptions& o) {
  const fs::path folder = o.folder;
  std::error_code error;
  if (!fs::is_directory(folder, error)) throw Error(ErrorKind::kUsage, printable(o.folder, 4096) + ": is not a folder");
  if (!has_manifest(folder)) {
    throw Error(ErrorKind::kUsage, printable(o.folder, 4096) + ": has no manifest.jsonl", "give the output folder of linea batch");
  }
  const std::map<std::string, ManifestEntry> entries = read_manifests(folder);
  nlohmann::ordered_json problems = nlohmann::ordered_json::array();
  const auto tell = [&](const std::string& file, const std::string& problem) {
    problems.push_back({{"file", file}, {"problem", problem}});
    if (!o.json) std::printf("%s: %s\n", printable(file, 4096).c_str(), problem.c_str());
  };
  for (const auto& [file, entry] : entries) {
    const std::string problem = problem_of(folder / file, entry);
    if (!problem.empty()) tell(file, problem);
  }
  for (const std::string& file : strangers(folder, entries)) tell(file, "is in no manifest");
  if (o.json) {
    const nlohmann::ordered_json report = {{"pictures", entries.size()}, {"problems", problems}};
    std::printf("%s\n", report.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  } else if (!o.quiet) {
    std::printf("%zu pictures, %zu problems\n", entries.size(), problems.size());
  }
  return problems.empty() ? 0 : 3;
}

}  // namespace

Action add_verify(CLI::App& app) {
  CLI::App* command = app.add_subcommand("verify", "Hash and decode the pictures of a batch again");
  const auto options = std::make_shared<VerifyOptions>();
  command->add_option("folder", options->folder, "the output folder of linea batch")->required();
  command->add_flag("--json", options->json, "print one JSON object");
  command->add_flag("-q,--quiet", options->quiet, "print nothing but problems");
  command->footer("Exit status: 0 all sound, 3 something is missing, damaged or not in the manifest.\nExample:\n  linea verify out/");
  return [options] { return verify(*options); };
}

}  // namespace linea::cli
