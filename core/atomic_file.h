// core/atomic_file.h: output files that appear complete or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace linea {

// Throws kUsage when `path` can be seen not to be writable: it is a folder, its folder is missing, or permissions forbid it. Called before
// long work, so that the work is not lost at its end.
void check_output_path(const std::filesystem::path& path);

// Writes to `<name>.<process>-<number>.part` beside the target; commit() syncs it and renames it over the target. Destroyed without
// commit(), it removes the temporary file and leaves the target as it was. A link is followed; a device or pipe (/dev/stdout) is written
// directly. Throws kUsage as check_output_path does, and kIo (naming the target and the system's reason) when writing fails.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  [[noreturn]] void fail(const char* action) const;

  std::filesystem::path target_, temporary_;  // no temporary name for devices
  int descriptor_ = -1;
};

// The whole content in one call.
void write_file(const std::filesystem::path& path, std::span<const uint8_t> content);
void write_file(const std::filesystem::path& path, std::string_view content);

}  // namespace linea
