#include "app/studio/instance.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>

namespace linea::studio {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxMessage = 1 << 20;
constexpr char kAnswer[] = "taken";

int connect_to(const fs::path& path, bool listen_there) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = path.string();
  if (name.size() >= sizeof address.sun_path) return -1;
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  const int status = listen_there ? bind(descriptor, where, sizeof address) : connect(descriptor, where, sizeof address);
  if (status == 0 && (!listen_there || listen(descriptor, 8) == 0)) return descriptor;
  close(descriptor);
  return -1;
}

void limit_waiting(int descriptor) {
  const timeval limit{2, 0};
  setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

}  // namespace

fs::path instance_socket(const fs::path& settings) {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const fs::path folder = runtime && *runtime ? fs::path(runtime) : fs::temp_directory_path() / ("linea-" + std::to_string(getuid()));
  std::error_code ignored;
  if (fs::create_directories(folder, ignored)) chmod(folder.c_str(), 0700);
  return folder / ("linea-studio-" + std::to_string(std::hash<std::string>()(settings.string()) % 1000000007) + ".socket");
}

bool Instance::hand_over(const fs::path& socket, const Paths& files) {
  const int descriptor = connect_to(socket, false);
  if (descriptor < 0) return false;
  limit_waiting(descriptor);
  std::string message;
  for (const fs::path& file : files) message += fs::absolute(file).string() + '\0';
  message.resize(std::min(message.size(), kMaxMessage));
  bool taken = send(descriptor, message.data(), message.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(message.size());
  shutdown(descriptor, SHUT_WR);
  char answer[sizeof kAnswer] = {};
  taken = taken && recv(descriptor, answer, sizeof kAnswer - 1, MSG_WAITALL) == sizeof kAnswer - 1 && std::strcmp(answer, kAnswer) == 0;
  close(descriptor);
  return taken;
}

Instance::Instance(const fs::path& socket, std::function<void(Paths)> on_files) : path_(socket), on_files_(std::move(on_files)) {
  std::error_code ignored;
  fs::remove(path_, ignored);  // nobody answers there: it is left over from a killed studio
  listener_ = connect_to(path_, true);
  if (listener_ < 0 || pipe(stop_) != 0) return;
  thread_ = std::thread([this] { serve(); });
}

Instance::~Instance() {
  if (!thread_.joinable()) return;
  if (write(stop_[1], "x", 1) == 1) thread_.join();
  for (const int descriptor : {listener_, stop_[0], stop_[1]}) close(descriptor);
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void Instance::serve() {
  for (;;) {
    pollfd ready[2] = {{listener_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
    if (poll(ready, 2, -1) < 0 && errno != EINTR) return;
    if (ready[1].revents) return;
    if (!ready[0].revents) continue;
    const int descriptor = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (descriptor < 0) continue;
    limit_waiting(descriptor);
    std::string message;
    char buffer[4096];
    for (ssize_t got; message.size() < kMaxMessage && (got = recv(descriptor, buffer, sizeof buffer, 0)) > 0;)
      message.append(buffer, static_cast<size_t>(got));
    Paths files;
    for (size_t at = 0, end = 0; (end = message.find('\0', at)) != std::string::npos; at = end + 1)
      files.emplace_back(message.substr(at, end - at));
    on_files_(std::move(files));
    if (send(descriptor, kAnswer, sizeof kAnswer - 1, MSG_NOSIGNAL) < 0) errno = 0;  // the other side has gone: nothing to do about it
    close(descriptor);
  }
}

}  // namespace linea::studio
