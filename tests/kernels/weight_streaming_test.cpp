// Streamed layers: the order of copies, the reuse of slots, and that what a layer sees is what lies at its home.
#include "kernels/weight_streaming.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace linea {
namespace {

struct TestLayer {
  Weight matrix;
  Tensor bias, missing;
};

}  // namespace

template <> struct LayerTensors<TestLayer> {
  static void visit(TestLayer& layer, const auto& visit) { visit(layer.matrix), visit(layer.bias), visit(layer.missing); }
};

namespace {

constexpr int64_t kOut = 3, kIn = 1000;

class WeightStreamingTest : public testing::Test {
 protected:
  WeightStreamingTest() : arena_(kCpuDevice, int64_t{1} << 20) {
    ctx_.backend = &backend_of(kCpuDevice);
    ctx_.arena = &arena_;
  }

  static Tensor filled(Shape shape, float value) {
    Tensor t(shape, DType::kF32);
    std::fill_n(t.data<float>(), t.elements(), value);
    return t;
  }

  LayerStore<TestLayer> store(size_t count, size_t resident) {
    LayerStore<TestLayer> layers;
    layers.load(ctx_, count, resident, [&](size_t i, bool) {
      const auto value = static_cast<float>(i);
      return TestLayer{prepare_linear(ctx_, filled({kOut, kIn}, value)), filled({kOut}, -value), {}};
    });
    return layers;
  }

  static void expect_layer(const TestLayer& layer, size_t i) {
    const auto value = static_cast<float>(i);
    const float* matrix = layer.matrix.data.data<float>();
    EXPECT_EQ(std::count(matrix, matrix + kOut * kIn, value), kOut * kIn) << i;
    EXPECT_EQ(layer.bias.data<float>()[kOut - 1], -value) << i;
    EXPECT_FALSE(layer.missing.defined());
  }

  Arena arena_;
  Context ctx_;
};

TEST_F(WeightStreamingTest, EveryLayerIsWhatLiesAtItsHome) {
  for (const size_t resident : {0, 1, 3, 6, 7}) {
    const LayerStore<TestLayer> layers = store(7, resident);
    EXPECT_EQ(layers.streamed(), 7 - resident);
    const Arena::Scope scope(arena_);
    LayerStore<TestLayer>::Pass pass(ctx_, layers, /*cycles=*/true);
    EXPECT_EQ(arena_.used(), resident == 7 ? 0 : 2 * layers.slot_bytes());
    for (int round = 0; round < 5; ++round) {
      for (size_t i = 0; i < 7; ++i) expect_layer(pass[i], i);
    }
  }
}

TEST_F(WeightStreamingTest, OneStreamedLayerComesAgainAndAgain) {
  const LayerStore<TestLayer> layers = store(1, 0);
  const Arena::Scope scope(arena_);
  LayerStore<TestLayer>::Pass pass(ctx_, layers, /*cycles=*/true);
  for (int round = 0; round < 4; ++round) expect_layer(pass[0], 0);
}

TEST_F(WeightStreamingTest, ALayerStaysUntouchedWhileTheNextIsCopied) {
  const LayerStore<TestLayer> layers = store(4, 0);
  const Arena::Scope scope(arena_);
  LayerStore<TestLayer>::Pass pass(ctx_, layers, /*cycles=*/false);
  for (size_t i = 0; i < 4; ++i) {
    const TestLayer& layer = pass[i];
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the next one's copy is done by now
    expect_layer(layer, i);
  }
}

TEST_F(WeightStreamingTest, AnAbandonedPassLeavesTheMemoryToOthers) {
  const LayerStore<TestLayer> layers = store(6, 2);
  for (int round = 0; round < 50; ++round) {
    const Arena::Scope scope(arena_);
    {
      LayerStore<TestLayer>::Pass pass(ctx_, layers, /*cycles=*/true);
      for (size_t i = 0; i <= static_cast<size_t>(round) % 6; ++i) expect_layer(pass[i], i);
    }
    const Arena::Scope reused(arena_);
    Tensor other = ctx_.allocate({2 * layers.slot_bytes()}, DType::kU8);
    std::fill_n(other.data<uint8_t>(), other.elements(), uint8_t{1});
    EXPECT_EQ(std::count(other.data<uint8_t>(), other.data<uint8_t>() + other.elements(), 1), other.elements());
  }
}

TEST_F(WeightStreamingTest, PlanningTakesTheSlotsAndCopiesNothing) {
  const LayerStore<TestLayer> layers = store(5, 1);
  Arena planning = Arena::planning(kCpuDevice);
  Context plan = ctx_;
  plan.arena = &planning;
  const Arena::Scope scope(planning);
  LayerStore<TestLayer>::Pass pass(plan, layers, /*cycles=*/false);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(pass[i].matrix.shape, (Shape{kOut, kIn}));
  EXPECT_EQ(planning.peak(), 2 * layers.slot_bytes());
}

TEST(ThreadCopier, CopiesInOrderAndWaits) {
  std::vector<int> from(100000), to(100000);
  const std::unique_ptr<Copier> copier = thread_copier();
  for (int round = 1; round < 50; ++round) {
    std::fill(from.begin(), from.end(), round);
    copier->start(round % 2, {{to.data(), from.data(), static_cast<int64_t>(from.size() * sizeof(int))}});
    copier->finish(round % 2);
    EXPECT_EQ(std::count(to.begin(), to.end(), round), 100000);
  }
}

}  // namespace
}  // namespace linea
