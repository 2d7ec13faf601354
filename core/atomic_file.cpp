#include "core/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

#include "core/error.h"
#include "core/text.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

std::string shown(const fs::path& path) { return printable(path.string(), 4096); }

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

// The file that a chain of links names, so that renaming replaces the file and not the link.
fs::path follow_links(fs::path path) {
  constexpr int kMostLinks = 40;  // as Linux's own limit
  for (int i = 0; i < kMostLinks; ++i) {
    std::error_code error;
    const fs::path next = fs::read_symlink(path, error);
    if (error) return path;
    path = next.is_absolute() ? next : path.parent_path() / next;
  }
  throw Error(ErrorKind::kUsage, shown(path) + ": cannot write: " + std::strerror(ELOOP));
}

bool is_device(const fs::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

// A name that fits the file system's 255 bytes and that no other writer uses.
fs::path temporary_beside(const fs::path& target) {
  static std::atomic<int> number{0};
  constexpr size_t kKept = 200;
  const std::string name = target.filename().string().substr(0, kKept);
  return folder_of(target) / (name + "." + std::to_string(::getpid()) + "-" + std::to_string(number++) + ".part");
}

void sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);  // some file systems cannot; the rename itself has succeeded
  ::close(descriptor);
}

}  // namespace

void check_output_path(const fs::path& path) {
  const auto refuse = [&](const std::string& why) { throw Error(ErrorKind::kUsage, shown(path) + ": cannot write: " + why); };
  if (path.empty()) throw Error(ErrorKind::kUsage, "the name of the output file is empty");
  if (!path.has_filename()) refuse("names a folder");
  const fs::path target = is_device(path) ? path : follow_links(path);
  struct stat status {};
  if (::stat(target.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) refuse("is a folder");
    if (::access(target.c_str(), W_OK) != 0) refuse(std::strerror(errno));
    if (!S_ISREG(status.st_mode)) return;
  } else if (errno != ENOENT) {
    refuse(std::strerror(errno));
  }
  const fs::path folder = folder_of(target);
  if (::stat(folder.c_str(), &status) != 0) refuse("folder " + shown(folder) + ": " + std::strerror(errno));
  if (!S_ISDIR(status.st_mode)) refuse(shown(folder) + " is not a folder");
  if (::access(folder.c_str(), W_OK | X_OK) != 0) refuse("folder " + shown(folder) + ": " + std::strerror(errno));
}

AtomicFile::AtomicFile(const fs::path& path) : target_(path) {
  check_output_path(path);
  if (is_device(path)) {
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail("open");
    return;
  }
  target_ = follow_links(path);
  struct stat status {};
  const bool replaces = ::stat(target_.c_str(), &status) == 0;
  do {
    temporary_ = temporary_beside(target_);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail("create");
  if (replaces) ::fchmod(descriptor_, status.st_mode & 0777);  // another owner's file system may refuse: the content matters more
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* action) const {
  throw Error(ErrorKind::kIo, shown(target_) + ": cannot " + action + ": " + std::strerror(errno));
}

void AtomicFile::write(const void* data, size_t bytes) {
  constexpr size_t kMostPerCall = size_t{1} << 30;  // Linux writes at most 2 GiB a call
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, next, std::min(bytes, kMostPerCall));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write");
    next += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit() {
  const bool device = temporary_.empty();
  if (!device && ::fsync(descriptor_) != 0) fail("write");
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed == 0 && device) return;
  if (closed != 0 || ::rename(temporary_.c_str(), target_.c_str()) != 0) {
    const int reason = errno;
    if (!device) ::unlink(temporary_.c_str());
    errno = reason;
    fail("write");
  }
  sync_folder(folder_of(target_));
}

void write_file(const fs::path& path, std::span<const uint8_t> content) {
  AtomicFile file(path);
  file.write(content.data(), content.size());
  file.commit();
}

void write_file(const fs::path& path, std::string_view content) {
  write_file(path, std::span(reinterpret_cast<const uint8_t*>(content.data()), content.size()));
}

}  // namespace linea
