// 3×3 convolutions in tiles of 2×2 outputs, on every instruction set: also where conv2d goes another way.
#include "kernels/cpu/winograd_conv.h"

#include "tests/kernels/fixture.h"
#include "tests/kernels/reference.h"

namespace linea::test {
namespace {

class WinogradTest : public KernelTest {
 protected:
  static cpu::WinogradFilter filter_of(const Tensor& w) { return cpu::WinogradFilter(w.to(DType::kF32)); }
  Tensor convolve(const Tensor& x, cpu::WinogradFilter& w, const Conv2dArgs& args, Shape shape) {
    const Tensor y = output(shape);
    w.convolve(ctx(), *GetParam().kernels, x, y, args);
    return y;
  }
  Conv2dArgs epilogue(Shape shape, Activation activation) {
    Conv2dArgs args;
    args.bias = random_f32({shape[3]});
    args.activation = activation;
    args.residual = random(shape);
    return args;
  }
};
LINEA_KERNEL_SUITE(WinogradTest);

struct Channels {
  int64_t in, out;
};
struct Map {
  int64_t height, width, in, out;
};

TEST_P(WinogradTest, EverySmallMapEqualsReference) {
  constexpr Channels kChannels[] = {{1, 1}, {3, 16}, {16, 3}, {33, 17}, {20, 40}, {8, 33}};
  constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kSilu, Activation::kGeluTanh};
  size_t turn = 0;
  for (const bool enlarging : {false, true}) {
    for (int64_t height = 1; height <= 9; ++height) {
      for (int64_t width = 1; width <= 9; ++width, ++turn) {
        const auto [in, out] = kChannels[turn % std::size(kChannels)];
        const Tensor x = random({2, height, width, in}), w = random({out, in, 3, 3}, 0.3f);
        const int64_t scale = enlarging ? 2 : 1;
        const Shape shape = {2, height * scale, width * scale, out};
        cpu::WinogradFilter filter = filter_of(w);
        Conv2dArgs plain, full = epilogue(shape, kActivations[turn % std::size(kActivations)]);
        plain.upsample_nearest = full.upsample_nearest = enlarging;
        const std::string what = (enlarging ? "enlarged " : "") + Shape{height, width, in, out}.to_string();
        expect_close(convolve(x, filter, plain, shape), reference::conv2d(x, w, plain), in * 9, what);
        const Tensor expected = reference::conv2d(x, w, full);
        expect_close(convolve(x, filter, full, shape), expected, in * 9, what + " with bias, activation and residual");
        filter.convolve(ctx(), *GetParam().kernels, x, full.residual, full);
        expect_close(full.residual, expected, in * 9, what + " with its residual in place");
      }
    }
  }
}

TEST_P(WinogradTest, ManyChannelsEqualReference) {
  for (const auto [in, out] : {Channels{300, 40}, {64, 260}}) {
    const Tensor x = random({1, 7, 12, in}), w = random({out, in, 3, 3}, 0.1f);
    cpu::WinogradFilter filter = filter_of(w);
    for (const bool enlarging : {false, true}) {
      Conv2dArgs args;
      args.upsample_nearest = enlarging;
      const Tensor expected = reference::conv2d(x, w, args);
      expect_close(convolve(x, filter, args, expected.shape()), expected, in * 9, "of " + Shape{in, out}.to_string() + " channels");
    }
  }
}

TEST_P(WinogradTest, StripsFromEveryRowHaveTheBitsOfTheWholeMap) {
  for (const bool enlarging : {false, true}) {
    for (const auto [height, width, in, out] : {Map{8, 70, 24, 40}, Map{9, 5, 17, 3}}) {
      const int64_t scale = enlarging ? 2 : 1;
      const Tensor x = random({1, height, width, in});
      cpu::WinogradFilter filter = filter_of(random({out, in, 3, 3}));
      Conv2dArgs args = epilogue({1, height * scale, width * scale, out}, Activation::kSilu);
      args.upsample_nearest = enlarging;
      const Tensor whole = convolve(x, filter, args, args.residual.shape());
      for (int64_t first = 0; first < height; ++first) {
        for (int64_t end = first + 1; end <= height; ++end) {
          Conv2dArgs strip = args;
          strip.pad_top = first == 0 ? 1 : 0;
          strip.pad_bottom = end == height ? 1 : 0;
          strip.first_row = first * scale + 1 - strip.pad_top;
          const int64_t rows = (end - first) * scale - (2 - strip.pad_top - strip.pad_bottom);
          if (rows <= 0) continue;
          strip.residual = args.residual.slice(1, strip.first_row, rows);
          const Tensor part = convolve(x.slice(1, first, end - first), filter, strip, {1, rows, width * scale, out});
          ASSERT_TRUE(same_bits(part, whole.slice(1, strip.first_row, rows)))
              << (enlarging ? "enlarged, " : "") << "rows " << first << " to " << end << " of " << x.describe();
        }
      }
    }
  }
}

TEST_P(WinogradTest, HasTheSameBitsForAnyThreadsAndBatch) {
  for (const bool enlarging : {false, true}) {
    for (const auto [height, width, in, out] : {Map{17, 16, 48, 32}, Map{7, 5, 16, 40}, Map{3, 16, 256, 32}}) {
      const int64_t batch = 3, scale = enlarging ? 2 : 1;
      const Tensor x = random({batch, height, width, in});
      cpu::WinogradFilter filter = filter_of(random({out, in, 3, 3}));
      Conv2dArgs args;
      args.bias = random_f32({out});
      args.upsample_nearest = enlarging;
      const auto run = [&](int64_t first, int64_t count) {
        return convolve(x.slice(0, first, count), filter, args, {count, height * scale, width * scale, out});
      };
      const std::string what = (enlarging ? "enlarged " : "") + Shape{height, width, in, out}.to_string();
      expect_thread_independent([&] { return run(0, batch); }, what);
      expect_member_independent(
          run(0, batch), [&](int64_t b) { return run(b, 1); }, what);
    }
  }
}

TEST_P(WinogradTest, UsesThePlannedMemory) {
  for (const bool enlarging : {false, true}) {
    const Tensor x = random({2, 9, 11, 24}), y = output({2, enlarging ? 18 : 9, enlarging ? 22 : 11, 16});
    cpu::WinogradFilter filter = filter_of(random({16, 24, 3, 3}));
    Conv2dArgs args;
    args.upsample_nearest = enlarging;
    expect_planned([&](Context& context) { filter.convolve(context, *GetParam().kernels, x, y, args); });
  }
}

}  // namespace
}  // namespace linea::test
