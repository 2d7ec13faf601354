// Ctrl-C and SIGTERM in every phase: the documented status, and nothing half-written.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "tests/app/process.h"

namespace linea {
namespace {

// Waits until the program's standard error says `text`.
bool wait_for(const test::Workspace& work, const std::string& text) {
  for (int i = 0; i < 2000; ++i) {
    if (test::read_file(work / "stderr").find(text) != std::string::npos) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

struct Case {
  const char* phase;
  int signal;
  int status;
};

class Signals : public testing::TestWithParam<Case> {};

TEST_P(Signals, StopWithNothingHalfWritten) {
  const test::Workspace work;
  test::Process process(work, {"generate", "a red apple", "--model", work / "model", "--size", "512", "--bins", "off", "--steps", "1000",
                               "--seed", "1", "--progress", "plain", "-o", work / "out/a.png"});
  ASSERT_TRUE(wait_for(work, GetParam().phase)) << test::read_file(work / "stderr");
  process.signal(GetParam().signal);
  const test::Outcome outcome = process.wait();
  EXPECT_EQ(outcome.status, GetParam().status) << outcome.err;
  EXPECT_NE(outcome.err.find("stopping"), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(work / "out"));
}

INSTANTIATE_TEST_SUITE_P(EveryPhase, Signals,
                         testing::Values(Case{"text ", SIGINT, 130}, Case{"denoise  0/", SIGINT, 130}, Case{"denoise  3/", SIGINT, 130},
                                         Case{"denoise  1/", SIGTERM, 143}),
                         [](const auto& test_case) { return "Case" + std::to_string(test_case.index); });

}  // namespace
}  // namespace linea
