// core/mapped_file.h: reading files, whole or mapped.
//
// Only regular files are read (links are followed): a folder, a device or a pipe is refused before it could block. A mapped file that
// another process shortens while it is in use ends this process by SIGBUS, as with every memory map; replace model files by renaming.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "core/error.h"

namespace linea {

// A read-only mapping of a whole file. Throws `kind` naming the file and the system's reason.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path, ErrorKind kind = ErrorKind::kModel);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }  // null for an empty file
  int64_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {data_, static_cast<size_t>(size_)}; }

 private:
  const std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

// Tells the system that this part of a mapping is about to be read, so that reading from the disk starts now.
void prefetch(const void* data, int64_t bytes) noexcept;

// Gives back the memory of the pages that lie wholly within this part of a MappedFile, which come back from the file when they are read
// again. Memory of any other kind stays as it is.
void release_pages(const void* data, int64_t bytes) noexcept;

// The content of a file of at most `max_bytes`, or of a pipe until its writers close it (one without a writer is empty). Throws `kind`.
std::string read_file(const std::filesystem::path& path, int64_t max_bytes, ErrorKind kind);

}  // namespace linea
