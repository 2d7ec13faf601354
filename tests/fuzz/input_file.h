// tests/fuzz/input_file.h: the input as a file that readers can open and map, in memory.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace linea::fuzz {

// The path of a file with this content, which the next call replaces; empty when the system refuses.
inline std::filesystem::path input_file(const uint8_t* data, size_t size) {
  static const int file = memfd_create("input", MFD_CLOEXEC);
  if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) return {};
  return "/proc/self/fd/" + std::to_string(file);
}

}  // namespace linea::fuzz
