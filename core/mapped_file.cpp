#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

// An open regular file and its size.
class InputFile {
 public:
  InputFile(const std::filesystem::path& path, ErrorKind kind) {
    // O_NONBLOCK: opening a pipe without a writer would wait for one.
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0) fail(path, kind, std::string("cannot open: ") + std::strerror(errno));
    struct stat status {};
    std::string problem;
    if (::fstat(descriptor_, &status) != 0) {
      problem = std::string("cannot read: ") + std::strerror(errno);
    } else if (S_ISDIR(status.st_mode)) {
      problem = "is a folder, expected a file";
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

 private:
  int descriptor_ = -1;
  int64_t size_ = 0;
};

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
  const InputFile file(path, kind);
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
  const InputFile file(path, kind);
  if (file.size() > max_bytes) {
    fail(path, kind, "has " + std::to_string(file.size()) + " bytes, at most " + std::to_string(max_bytes) + " are read");
  }
  std::string content(static_cast<size_t>(file.size()), '\0');
  size_t used = 0;
  while (used < content.size()) {
    const ssize_t got = ::read(file.descriptor(), content.data() + used, content.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path, kind, std::string("cannot read: ") + std::strerror(errno));
    if (got == 0) break;  // shortened meanwhile
    used += static_cast<size_t>(got);
  }
  content.resize(used);
  return content;
}

}  // namespace linea
