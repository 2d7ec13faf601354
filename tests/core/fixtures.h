// tests/core/fixtures.h: temporary folders, file bytes and errors for the tests of core.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "tests/support/temporary_folder.h"

namespace linea::test {

// A file in memory only, for tests that replace one thousands of times.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("linea-test", MFD_CLOEXEC)) {
    if (descriptor_ < 0) throw std::runtime_error("no file in memory");
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }
  void replace(const void* data, size_t size) {
    const bool done = ::ftruncate(descriptor_, 0) == 0 && ::pwrite(descriptor_, data, size, 0) == static_cast<ssize_t>(size);
    if (!done) throw std::runtime_error("cannot write in memory");
  }

 private:
  int descriptor_;
};

inline void write_bytes(const std::filesystem::path& path, const std::string& content) { std::ofstream(path, std::ios::binary) << content; }

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

inline std::vector<uint8_t> as_bytes(const std::string& text) { return std::vector<uint8_t>(text.begin(), text.end()); }

// The linea::Error that `action` throws, if any; other exceptions pass.
template <class Action> std::optional<Error> error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

// `action` throws one line of the given kind that contains `text`.
template <class Action> void expect_error(ErrorKind kind, const std::string& text, Action action) {
  const std::optional<Error> error = error_of(action);
  ASSERT_TRUE(error) << "nothing was thrown, expected: " << text;
  EXPECT_EQ(error->kind(), kind) << error->what();
  EXPECT_THAT(error->what(), testing::HasSubstr(text));
  EXPECT_THAT(error->what(), testing::Not(testing::HasSubstr("\n")));
}

}  // namespace linea::test
