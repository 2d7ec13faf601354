#include "lm/session/state_shelf.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace linea {
namespace {

constexpr int64_t kPage = 4096;  // mappings begin at multiples of it

int nameless_file(const std::filesystem::path& folder) {
  const int file = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0) return file;
  std::string name = (folder / ".states-XXXXXX").string();  // a file system without such files
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

bool write_all(int file, const void* data, int64_t bytes, int64_t offset) {
  const auto* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::pwrite(file, from, static_cast<size_t>(bytes), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    from += written, offset += written, bytes -= written;
  }
  return true;
}

}  // namespace

// Places of a file, for snapshots of few different sizes.
class StateShelf::File {
 public:
  File(std::filesystem::path folder, int64_t most_bytes) : folder_(std::move(folder)), most_bytes_(most_bytes) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  bool opened() {
    const std::lock_guard lock(mutex_);
    if (descriptor_ < 0) descriptor_ = nameless_file(folder_);
    return descriptor_ >= 0;
  }
  std::optional<int64_t> take_place(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (std::vector<int64_t>& free = free_[bytes]; !free.empty()) {
      const int64_t place = free.back();
      free.pop_back();
      return place;
    }
    if (end_ + bytes > most_bytes_) return std::nullopt;
    return std::exchange(end_, end_ + bytes);
  }
  void give_back(int64_t place, int64_t bytes) {
    const std::lock_guard lock(mutex_);
    free_[bytes].push_back(place);
  }
  int descriptor() const { return descriptor_; }

 private:
  const std::filesystem::path folder_;
  const int64_t most_bytes_;
  std::mutex mutex_;
  int descriptor_ = -1;
  int64_t end_ = 0;
  std::map<int64_t, std::vector<int64_t>> free_;  // places by size
};

StateShelf::StateShelf(std::filesystem::path folder, int64_t most_bytes) : file_(std::make_shared<File>(std::move(folder), most_bytes)) {}

StateShelf::Shelved StateShelf::put(const Snapshot& snapshot) {
  if (!file_->opened()) return {};
  const int64_t bytes = std::max<int64_t>((snapshot.state.block_bytes() + kPage - 1) / kPage, 1) * kPage;
  const std::optional<int64_t> place = file_->take_place(bytes);
  if (!place) return {.is_full = true};
  const std::shared_ptr<const void> taken(nullptr, [file = file_, place = *place, bytes](const void*) { file->give_back(place, bytes); });
  bool written = write_all(file_->descriptor(), "", 1, *place + bytes - 1);  // so that every page of the mapping is in the file
  snapshot.state.visit_block([&](int64_t offset, const Tensor& part) {
    const Tensor host = part.to(kCpuDevice);
    written = written && write_all(file_->descriptor(), host.raw(), host.bytes(), *place + offset);
  });
  if (!written) return {};
  void* const address = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ, MAP_SHARED, file_->descriptor(), *place);
  if (address == MAP_FAILED) return {};
  const auto unmap = [taken, bytes](const void* mapping) { ::munmap(const_cast<void*>(mapping), static_cast<size_t>(bytes)); };
  const State state = State::in_block(snapshot.state, address, std::shared_ptr<const void>(address, unmap));
  return {.snapshot = std::make_shared<const Snapshot>(Snapshot{state, snapshot.logits, snapshot.tokens})};
}

}  // namespace linea
