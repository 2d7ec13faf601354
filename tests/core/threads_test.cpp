#include "core/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace linea {
namespace {

// Four threads, whatever the machine has.
class Threads : public ::testing::Test {
 protected:
  void SetUp() override { set_thread_count(4); }
  void TearDown() override { set_thread_count(0); }
};

// How often each of [0, count) was visited.
std::vector<int> visits(int64_t count, int64_t grain) {
  std::vector<std::atomic<int>> visited(static_cast<size_t>(count));
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++visited[static_cast<size_t>(i)];
  });
  return {visited.begin(), visited.end()};
}

TEST_F(Threads, VisitEverythingOnce) {
  for (const int64_t count : {1, 2, 3, 7, 16, 17, 1000}) {
    for (const int64_t grain : {1, 5, 2000}) {
      const std::vector<int> once(static_cast<size_t>(count), 1);
      EXPECT_EQ(visits(count, grain), once) << count << " by " << grain;
      with_helpers(
          [&, count = count, grain = grain] { EXPECT_EQ(visits(count, grain), once) << count << " by " << grain << ", with helpers"; });
    }
  }
}

TEST_F(Threads, HelpersServeManyShortLoops) {
  int64_t sum = 0;
  with_helpers([&] {
    for (int round = 0; round < 20'000; ++round) {
      std::atomic<int64_t> items = 0;
      parallel_for(1 + round % 40, 1, [&](int64_t begin, int64_t end) { items += end - begin; });
      sum += items - (1 + round % 40);
    }
  });
  EXPECT_EQ(sum, 0);
}

TEST_F(Threads, HelpersWakeAfterAPause) {
  std::atomic<bool> helped = false;
  with_helpers([&] {
    for (int round = 0; round < 200 && !helped; ++round) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      parallel_for(16, 1, [&](int64_t, int64_t) {
        if (thread_index() != 0) helped = true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      });
    }
  });
  EXPECT_TRUE(helped || thread_count() == 1);  // one under ThreadSanitizer
}

TEST_F(Threads, IndicesTellBodiesApartThatRunTogether) {
  std::vector<std::atomic<int>> inside(4);
  std::atomic<bool> clash = false;
  with_helpers([&] {
    for (int round = 0; round < 2000; ++round) {
      parallel_for(64, 1, [&](int64_t, int64_t) {
        std::atomic<int>& mine = inside.at(static_cast<size_t>(thread_index()));
        if (mine++ != 0) clash = true;
        --mine;
      });
    }
  });
  EXPECT_FALSE(clash);
}

TEST_F(Threads, ABodysOwnLoopsRunWhereItRuns) {
  std::atomic<int64_t> items = 0;
  with_helpers([&] {
    parallel_for(8, 1, [&](int64_t begin, int64_t end) {
      const std::thread::id here = std::this_thread::get_id();
      parallel_for((end - begin) * 100, 1, [&](int64_t from, int64_t to) {
        EXPECT_EQ(std::this_thread::get_id(), here);
        items += to - from;
      });
    });
  });
  EXPECT_EQ(items, 800);
}

TEST_F(Threads, ExceptionsReachTheCaller) {
  with_helpers([&] {
    for (int round = 0; round < 200; ++round) {
      EXPECT_THROW(parallel_for(64, 1,
                                [](int64_t begin, int64_t) {
                                  if (begin >= 32) throw std::runtime_error("no");
                                }),
                   std::runtime_error);
      EXPECT_EQ(visits(10, 1), std::vector<int>(10, 1));
    }
  });
}

TEST_F(Threads, OneThreadAtATimeHasTheHelpers) {
  std::vector<std::thread> callers;
  std::atomic<int64_t> items = 0;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      set_thread_count(4);
      for (int round = 0; round < 300; ++round) {
        with_helpers([&] { parallel_for(50, 1, [&](int64_t begin, int64_t end) { items += end - begin; }); });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(items, 3 * 300 * 50);
}

}  // namespace
}  // namespace linea
