#include "core/mapped_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

#include "core/text.h"

namespace linea {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, ErrorKind kind, const std::string& what) {
  throw Error(kind, printable(path.string(), 4096) + ": " + what);
}

enum class Pipes { kRefused, kTaken };

// An open regular file and its size; or a pipe.
class InputFile {
 public:
  InputFile(const std::filesystem::path& path, ErrorKind kind, Pipes pipes) {
    // O_NONBLOCK: opening a pipe without a writer would wait for one.
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0) fail(path, kind, std::string("cannot open: ") + std::strerror(errno));
    struct stat status {};
    std::string problem;
    if (::fstat(descriptor_, &status) != 0) {
      problem = std::string("cannot read: ") + std::strerror(errno);
    } else if (S_ISDIR(status.st_mode)) {
      problem = "is a folder, expected a file";
    } else if (pipes == Pipes::kTaken && S_ISFIFO(status.st_mode)) {
      is_pipe_ = true;
    } else if (!S_ISREG(status.st_mode)) {
      problem = "is not a regular file";
    }
    if (!problem.empty()) {
      ::close(descriptor_);
      fail(path, kind, problem);
    }
    size_ = static_cast<int64_t>(status.st_size);
  }
  ~InputFile() { ::close(descriptor_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  int descriptor() const { return descriptor_; }
  int64_t size() const { return size_; }
  bool is_pipe() const { return is_pipe_; }

 private:
  int descriptor_ = -1;
  int64_t size_ = 0;
  bool is_pipe_ = false;
};

// What is there, at most `bytes`; 0 at the end, also of a pipe that nobody writes.
size_t read_some(const InputFile& file, char* to, size_t bytes, const std::filesystem::path& path, ErrorKind kind) {
  while (true) {
    const ssize_t got = ::read(file.descriptor(), to, bytes);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno == EAGAIN) {  // a pipe whose writer is slower
      pollfd wanted = {.fd = file.descriptor(), .events = POLLIN, .revents = 0};
      ::poll(&wanted, 1, -1);
    } else if (errno != EINTR) {
      fail(path, kind, std::string("cannot read: ") + std::strerror(errno));
    }
  }
}

std::string rest_of_pipe(const InputFile& pipe, int64_t max_bytes, const std::filesystem::path& path, ErrorKind kind) {
  std::string content;
  std::array<char, 1 << 16> piece{};
  while (const size_t got = read_some(pipe, piece.data(), piece.size(), path, kind)) {
    content.append(piece.data(), got);
    if (static_cast<int64_t>(content.size()) > max_bytes)
      fail(path, kind, "has more than the " + std::to_string(max_bytes) + " bytes that are read");
  }
  return content;
}

// The bytes of every MappedFile: [first, second).
class Mappings {
 public:
  static Mappings& instance() {
    static Mappings mappings;
    return mappings;
  }
  void add(uintptr_t begin, uintptr_t end) {
    const std::lock_guard lock(mutex_);
    ends_[begin] = end;
  }
  void remove(uintptr_t begin) {
    const std::lock_guard lock(mutex_);
    ends_.erase(begin);
  }
  bool contain(uintptr_t begin, uintptr_t end) const {
    const std::lock_guard lock(mutex_);
    const auto after = ends_.upper_bound(begin);
    return after != ends_.begin() && end <= std::prev(after)->second;
  }

 private:
  mutable std::mutex mutex_;
  std::map<uintptr_t, uintptr_t> ends_;  // by begin
};

uintptr_t page_bytes() { return static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE)); }

uintptr_t address_of(const void* data) { return reinterpret_cast<uintptr_t>(data); }

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path, ErrorKind kind) {
  const InputFile file(path, kind, Pipes::kRefused);
  if (file.size() == 0) return;
  void* address = ::mmap(nullptr, static_cast<size_t>(file.size()), PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (address == MAP_FAILED) fail(path, kind, std::string("cannot map: ") + std::strerror(errno));
  data_ = static_cast<const std::byte*>(address);
  size_ = file.size();
  Mappings::instance().add(address_of(data_), address_of(data_ + size_));
}

MappedFile::~MappedFile() {
  if (!data_) return;
  Mappings::instance().remove(address_of(data_));
  ::munmap(const_cast<std::byte*>(data_), static_cast<size_t>(size_));
}

void prefetch(const void* data, int64_t bytes) noexcept {
  if (bytes <= 0) return;
  const uintptr_t page = page_bytes(), begin = address_of(data) / page * page, end = address_of(data) + static_cast<uintptr_t>(bytes);
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);  // a hint: its failure changes nothing
}

void release_pages(const void* data, int64_t bytes) noexcept {
  const uintptr_t page = page_bytes(), end = (address_of(data) + static_cast<uintptr_t>(bytes)) / page * page;
  const uintptr_t begin = (address_of(data) + page - 1) / page * page;
  // Anonymous memory would lose its content.
  if (begin >= end || !Mappings::instance().contain(begin, end)) return;
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

std::string read_file(const std::filesystem::path& path, int64_t max_bytes, ErrorKind kind) {
  const InputFile file(path, kind, Pipes::kTaken);
  if (file.is_pipe()) return rest_of_pipe(file, max_bytes, path, kind);
  if (file.size() > max_bytes) {
    fail(path, kind, "has " + std::to_string(file.size()) + " bytes, at most " + std::to_string(max_bytes) + " are read");
  }
  std::string content(static_cast<size_t>(file.size()), '\0');
  size_t used = 0;
  while (used < content.size()) {
    const size_t got = read_some(file, content.data() + used, content.size() - used, path, kind);
    if (got == 0) break;  // shortened meanwhile
    used += got;
  }
  content.resize(used);
  return content;
}

}  // namespace linea
