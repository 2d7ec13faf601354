// tests/app/process.h: the program as a user runs it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/golden.h"

namespace linea::test {

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A temporary folder with the small golden model as `model` in it.
class Workspace {
 public:
  Workspace() {
    char name[] = "/tmp/linea-test-XXXXXX";
    folder_ = mkdtemp(name);
    std::filesystem::create_directory(folder_ / "model");
    const auto copy = [&](const std::string& from, const char* part) {
      std::filesystem::copy(data_path(from), folder_ / "model" / part, std::filesystem::copy_options::recursive);
    };
    for (const char* part : {"transformer", "vae", "scheduler"}) copy(std::string("pipeline/model/") + part, part);
    copy("textenc/tokenizer", "tokenizer");
    copy("textenc/text_encoder", "text_encoder");
    std::filesystem::create_directory(folder_ / "out");
  }
  ~Workspace() { std::filesystem::remove_all(folder_); }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }

 private:
  std::filesystem::path folder_;
};

struct Outcome {
  int status = -1;
  std::string out, err;
};

// Started and not yet waited for.
class Process {
 public:
  Process(const Workspace& workspace, const std::vector<std::string>& arguments, const std::string& input = {}) : workspace_(workspace) {
    std::ofstream(workspace / "stdin", std::ios::binary) << input;
    pid_ = fork();
    if (pid_ != 0) return;
    // Library and cache of the user stay untouched.
    setenv("XDG_DATA_HOME", (workspace / "data").c_str(), 1);
    setenv("XDG_CACHE_HOME", (workspace / "cache").c_str(), 1);
    unsetenv("LINEA_LIBRARY");
    if (!freopen((workspace / "stdin").c_str(), "r", stdin) || !freopen((workspace / "stdout").c_str(), "w", stdout) ||
        !freopen((workspace / "stderr").c_str(), "w", stderr)) {
      _exit(127);
    }
    std::vector<char*> argv = {const_cast<char*>(LINEA_PROGRAM)};
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    execv(LINEA_PROGRAM, argv.data());
    _exit(127);
  }
  void signal(int number) const { kill(pid_, number); }
  bool ended() {  // without waiting
    int status = 0;
    if (!ended_ && waitpid(pid_, &status, WNOHANG) == pid_) ended_ = true, status_ = status;
    return ended_;
  }
  Outcome wait() {
    if (!ended_) waitpid(pid_, &status_, 0);
    ended_ = true;
    return {WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_), read_file(workspace_ / "stdout"),
            read_file(workspace_ / "stderr")};
  }

 private:
  const Workspace& workspace_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
};

inline Outcome run(const Workspace& workspace, const std::vector<std::string>& arguments, const std::string& input = {}) {
  return Process(workspace, arguments, input).wait();
}

// One line on standard error that holds `part`, the given status, no output and no file.
inline void expect_refused(const Workspace& workspace, const Outcome& outcome, int status, const std::string& part) {
  EXPECT_EQ(outcome.status, status) << outcome.err;
  EXPECT_THAT(outcome.err, testing::StartsWith("linea: "));
  EXPECT_THAT(outcome.err, testing::HasSubstr(part));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(std::filesystem::is_empty(workspace / "out"));
}

}  // namespace linea::test
