// What a fuzz program is made of without libFuzzer: PROGRAM RUNS FILE|FOLDER... gives the reader every file, and RUNS damaged copies of
// them, always the same ones. An input that ends the process, or takes longer than a minute, is left in the current folder as
// crash-PROGRAM.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/mutated.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

namespace fs = std::filesystem;

constexpr unsigned kSecondsAnInput = 60;
// What is damaged: files that are read at once, and small enough for damage to hit what matters. All of it takes ten seconds at most.
constexpr double kSecondsMutated = 0.1, kSecondsInAll = 10;
constexpr size_t kLongestMutated = size_t{64} << 10;

std::string input;

void keep_input() {
  const std::string name = std::string("crash-") + program_invocation_short_name;
  const int file = open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file >= 0 && write(file, input.data(), input.size()) == static_cast<ssize_t>(input.size())) close(file);
}

void keep_input_and_end(int signal) {
  keep_input();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The seconds that the reader took.
double give(std::string data) {
  input = std::move(data);
  const Clock::time_point start = Clock::now();
  alarm(kSecondsAnInput);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  alarm(0);
  return seconds_since(start);
}

std::vector<fs::path> files_of(const char* const* names, const char* const* end) {
  std::vector<fs::path> files;
  for (; names != end; ++names) {
    if (fs::is_directory(*names)) {
      for (const auto& entry : fs::directory_iterator(*names)) files.push_back(entry.path());
    } else {
      files.emplace_back(*names);
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string content_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) throw std::runtime_error("usage: RUNS FILE|FOLDER...");
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM}) {
    if (signal == SIGALRM || !__sanitizer_set_death_callback) std::signal(signal, keep_input_and_end);
  }
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(keep_input);
  const std::vector<fs::path> files = files_of(argv + 2, argv + argc);
  if (files.empty()) throw std::runtime_error("no inputs to begin with");
  std::vector<std::string> originals;
  for (const fs::path& file : files) {
    const std::string original = content_of(file);
    give(original);  // the first time a reader may prepare something
    if (give(original) < kSecondsMutated && original.size() <= kLongestMutated) originals.push_back(original);
  }
  std::mt19937 random(1);
  const Clock::time_point start = Clock::now();
  for (int run = std::atoi(argv[1]); run > 0 && !originals.empty() && seconds_since(start) < kSecondsInAll; --run) {
    give(linea::test::mutated(originals[random() % originals.size()], random));
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
  keep_input();
  return 1;
}
