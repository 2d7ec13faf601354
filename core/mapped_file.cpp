#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

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

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path, ErrorKind kind) {
  const InputFile file(path, kind);
  if (file.size() == 0) return;
  void* address = ::mmap(nullptr, static_cast<size_t>(file.size()), PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (address == MAP_FAILED) fail(path, kind, std::string("cannot map: ") + std::strerror(errno));
  data_ = static_cast<const std::byte*>(address);
  size_ = file.size();
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), static_cast<size_t>(size_));
}

void prefetch(const void* data, int64_t bytes) noexcept {
  if (bytes <= 0) return;
  const uintptr_t page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(data) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(bytes);
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);  // a hint: its failure changes nothing
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
