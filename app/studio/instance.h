// app/studio/instance.h: one studio a user (and settings file): a second start hands its files to the first one and ends.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace linea::studio {

using Paths = std::vector<std::filesystem::path>;

// A Unix socket in $XDG_RUNTIME_DIR (else the temporary folder), whose name tells settings files apart.
std::filesystem::path instance_socket(const std::filesystem::path& settings);

class Instance {
 public:
  // Hands `files` to a running studio; true when there was one and it took them.
  static bool hand_over(const std::filesystem::path& socket, const Paths& files);

  // Listens; `on_files` is called on a thread of its own for every later start (also without files).
  Instance(const std::filesystem::path& socket, std::function<void(Paths)> on_files);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

 private:
  void serve();

  std::filesystem::path path_;
  std::function<void(Paths)> on_files_;
  int listener_ = -1, stop_[2] = {-1, -1};
  std::thread thread_;
};

}  // namespace linea::studio
