// States as values: copies that share until one is written, views, and memory that comes and goes with them.
#include "lm/state.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "core/memory_use.h"

namespace linea {
namespace {

const std::vector<Shape> kParts = {{7}, {3, 16, 16}, {5, 9}};

float& first_value(State& state) { return state.part(1, 1).data<float>()[0]; }

TEST(State, BeginsWithZeros) {
  for (int again = 0; again < 2; ++again) {  // the second one may get the memory of the first
    State state(2, kParts, kCpuDevice);
    EXPECT_EQ(state.bytes(), 2 * 4 * (7 + 3 * 16 * 16 + 5 * 9));
    for (int64_t layer = 0; layer < 2; ++layer) {
      for (const Tensor& part : state.layer(layer)) {
        for (int64_t i = 0; i < part.elements(); ++i) EXPECT_EQ(part.data<float>()[i], 0);
        std::memset(part.raw(), 1, static_cast<size_t>(part.bytes()));
      }
    }
  }
}

TEST(State, CopiesShareUntilOneIsWritten) {
  State state(2, kParts, kCpuDevice);
  const void* const values = state.part(0, 0).raw();
  state.own();
  EXPECT_EQ(state.part(0, 0).raw(), values);
  State branch = state;
  EXPECT_EQ(branch.part(0, 0).raw(), values);
  EXPECT_TRUE(branch == state);
  branch.own();
  first_value(branch) = 5;
  EXPECT_EQ(first_value(state), 0);
  EXPECT_FALSE(branch == state);
  EXPECT_EQ(state.part(0, 0).raw(), values);
  branch.own();  // it is its own already
  EXPECT_EQ(first_value(branch), 5);
  state = branch;
  EXPECT_EQ(first_value(state), 5);
  state.own();
  first_value(state) = 6;
  EXPECT_EQ(first_value(branch), 5);
}

TEST(State, UnfilledOnesHaveTheShapes) {
  const State state = State::repeated(State(2, kParts, kCpuDevice), 3), other = state.unfilled();
  EXPECT_EQ(other.sequences(), 3);
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (int64_t part = 0; part < 3; ++part) {
      EXPECT_EQ(other.part(layer, part).shape(), state.part(layer, part).shape());
      EXPECT_NE(other.part(layer, part).raw(), state.part(layer, part).raw());
    }
  }
}

TEST(State, ViewsOfSequencesWriteThrough) {
  State one(2, kParts, kCpuDevice);
  first_value(one) = 4;
  State states = State::repeated(one, 3);
  State view = states.sequence(1);
  view.own();
  first_value(view) = 7;
  EXPECT_EQ(first_value(one), 4);
  State alone = states.sequence_alone(1);
  EXPECT_EQ(first_value(alone), 7);
  first_value(view) = 8;
  EXPECT_EQ(first_value(alone), 7);
  alone = states.sequence_alone(2);
  EXPECT_EQ(first_value(alone), 4);

  const State before = states;
  states.set_sequence(2, states.sequence_alone(1));
  EXPECT_TRUE(states.sequence(2) == states.sequence(1));
  EXPECT_FALSE(before.sequence(2) == before.sequence(1));
}

// Whatever waits for the next state of a size goes with the last one.
TEST(State, GivesMemoryBack) {
  const int64_t before = memory_use(kCpuDevice).now;
  {
    const State large(4, {{1 << 19}, {1 << 19}}, kCpuDevice);  // as large as those that memory is made ready for
    for (int i = 0; i < 6; ++i) {
      State copy = large;
      copy.own();
      copy.part(0, 0).data<float>()[0] = 1;
      State other = large;
      other.own();
    }
    EXPECT_LE(memory_use(kCpuDevice).now - before, 6 * large.bytes() + (1 << 16));  // three alive, two to spare, one made ready
  }
  for (int i = 0; i < 500 && memory_use(kCpuDevice).now != before; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(memory_use(kCpuDevice).now, before);
}

TEST(State, ThreadsContinueCopiesOfTheirOwn) {
  State state(2, kParts, kCpuDevice);
  first_value(state) = 1;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([mine = state, thread]() mutable {
      for (int i = 0; i < 200; ++i) {
        State next = mine;
        next.own();
        EXPECT_EQ(first_value(next), i == 0 ? 1 : thread * 1000 + i - 1);
        first_value(next) = static_cast<float>(thread * 1000 + i);
        mine = next;
      }
    });
  }
  state.own();
  first_value(state) = 2;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace linea
