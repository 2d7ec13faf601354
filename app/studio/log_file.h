// app/studio/log_file.h: the studio's log: what the toasts said, with the time. Lines are handed to a thread that writes them.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace linea::studio {

// `writer` runs a task somewhere that may wait. Lines logged before are kept until then. The file is cut when it exceeds 1 MiB.
void open_log(const std::filesystem::path& path, std::function<void(std::function<void()>)> writer);
void log_line(const std::string& text);  // main thread
void close_log();

}  // namespace linea::studio
