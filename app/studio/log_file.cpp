#include "app/studio/log_file.h"

#include <ctime>
#include <fstream>
#include <utility>

#include "core/text.h"

namespace linea::studio {
namespace {

constexpr uintmax_t kMaxBytes = 1 << 20;

std::filesystem::path file;
std::function<void(std::function<void()>)> run;

}  // namespace

void open_log(const std::filesystem::path& path, std::function<void(std::function<void()>)> writer) {
  file = path;
  run = std::move(writer);
}

void log_line(const std::string& text) {
  if (!run) return;
  const std::time_t now = std::time(nullptr);
  char time[32];
  std::tm parts{};
  localtime_r(&now, &parts);
  std::strftime(time, sizeof time, "%F %T ", &parts);
  run([line = time + printable(text, 4000) + "\n", path = file] {
    std::error_code ignored;
    std::filesystem::create_directories(path.parent_path(), ignored);
    const uintmax_t size = std::filesystem::file_size(path, ignored);
    const bool fresh = !ignored && size > kMaxBytes;
    std::ofstream(path, fresh ? std::ios::trunc : std::ios::app) << line;
  });
}

void close_log() { run = nullptr; }

}  // namespace linea::studio
