#include "app/engine/abandoned.h"

#include <map>
#include <set>
#include <string>

namespace linea {
namespace {

namespace fs = std::filesystem;

constexpr size_t kKeptName = 200;  // of core/atomic_file.cpp

// The name before ".<digits>-<digits>.part"; empty for other files.
std::string target_of(const std::string& file) {
  constexpr std::string_view kEnding = ".part";
  if (!file.ends_with(kEnding)) return {};
  const size_t dot = file.rfind('.', file.size() - kEnding.size() - 1);
  if (dot == std::string::npos) return {};
  const std::string middle = file.substr(dot + 1, file.size() - kEnding.size() - dot - 1);
  const size_t dash = middle.find('-');
  const bool digits = middle.find_first_not_of("0123456789-") == std::string::npos;
  if (!digits || dash == 0 || dash == std::string::npos || dash + 1 == middle.size() || middle.rfind('-') != dash) return {};
  return file.substr(0, dot);
}

}  // namespace

void remove_abandoned_parts(const std::vector<fs::path>& targets) {
  std::map<fs::path, std::set<std::string>> folders;
  for (const fs::path& target : targets) {
    const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
    folders[folder].insert(target.filename().string().substr(0, kKeptName));
  }
  for (const auto& [folder, names] : folders) {
    std::error_code error;
    std::vector<fs::path> abandoned;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
      const std::string target = target_of(entry.path().filename().string());
      if (!target.empty() && names.contains(target)) abandoned.push_back(entry.path());
    }
    for (const fs::path& file : abandoned) fs::remove(file, error);
  }
}

}  // namespace linea
