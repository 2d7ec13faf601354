// Convolutions: direct, strided, enlarged, and depthwise; whole maps, strips and batches.
#include "tests/kernels/fixture.h"
#include "tests/kernels/reference.h"

namespace linea::test {
namespace {

class ConvTest : public KernelTest {
 protected:
  // Folding the filter of an enlarged map rounds it once more to the model's type.
  double folding_error() const { return dtype() == DType::kF32 ? 0 : dtype() == DType::kBF16 ? 0x1p-8 : 0; }

  Tensor convolve(const Tensor& x, const Weight& w, const Conv2dArgs& args, Shape shape) {
    const Tensor y = output(shape);
    conv2d(ctx(), x, w, y, args);
    return y;
  }
};
LINEA_KERNEL_SUITE(ConvTest);

struct Map {
  int64_t height, width, in, out;
};

TEST_P(ConvTest, Conv2dEqualsReference) {
  for (const auto [height, width, in, out] : {Map{1, 1, 1, 1}, Map{5, 7, 3, 16}, Map{8, 8, 16, 3}, Map{9, 6, 33, 17}, Map{6, 17, 32, 32}}) {
    for (const int64_t kernel : {1, 3}) {
      for (const int stride : {1, 2}) {
        if (kernel == 1 && stride == 2) continue;
        const Tensor x = random({2, height, width, in}), w = random({out, in, kernel, kernel}, 0.3f);
        Conv2dArgs args;
        args.stride = stride;
        args.bias = random_f32({out});
        args.activation = Activation::kSilu;
        const Tensor plain = reference::conv2d(x, w, args);
        const std::string what = "conv2d " + Shape{height, width, in, out, kernel, stride}.to_string();
        const Weight weight = prepare_conv2d(ctx(), w);
        expect_close(convolve(x, weight, args, plain.shape()), plain, in * kernel * kernel, what);
        args.residual = random(plain.shape());
        const Tensor expected = reference::conv2d(x, w, args);
        expect_close(convolve(x, weight, args, plain.shape()), expected, in * kernel * kernel, what + " and residual");
        conv2d(ctx(), x, weight, args.residual, args);
        expect_close(args.residual, expected, in * kernel * kernel, what + " and residual in place");
      }
    }
  }
}

TEST_P(ConvTest, EnlargedConv2dEqualsReference) {
  for (const auto [height, width, in, out] : {Map{1, 1, 1, 1}, Map{3, 5, 16, 16}, Map{7, 4, 33, 17}, Map{8, 8, 32, 20}}) {
    const Tensor x = random({2, height, width, in}), w = random({out, in, 3, 3}, 0.3f);
    const Weight weight = prepare_conv2d(ctx(), w);
    Conv2dArgs args;
    args.upsample_nearest = true;
    for (const bool full : {false, true}) {
      if (full) {
        args.bias = random_f32({out});
        args.activation = Activation::kRelu;
        args.residual = random({2, 2 * height, 2 * width, out});
      }
      const Tensor expected = reference::conv2d(x, w, args);
      expect_close(convolve(x, weight, args, expected.shape()), expected, in * 9, "enlarged " + Shape{height, width, in, out}.to_string(),
                   folding_error());
    }
    for (const auto& [top, bottom] : {std::pair{0, 1}, {1, 0}, {0, 0}}) {
      if (height == 1) continue;
      Conv2dArgs strip;
      strip.upsample_nearest = true;
      strip.pad_top = top;
      strip.pad_bottom = bottom;
      const Tensor expected = reference::conv2d(x, w, strip);
      expect_close(convolve(x, weight, strip, expected.shape()), expected, in * 9, "enlarged strip", folding_error());
    }
  }
}

TEST_P(ConvTest, Conv2dHasTheSameBitsForAnyThreadsAndBatch) {
  for (const bool enlarged : {false, true}) {
    for (const auto [height, width, in, out] : {Map{16, 16, 48, 32}, Map{7, 5, 16, 40}, Map{3, 16, 256, 32}}) {
      const int64_t batch = 3;
      const Tensor x = random({batch, height, width, in});
      const Weight w = prepare_conv2d(ctx(), random({out, in, 3, 3}));
      Conv2dArgs args;
      args.bias = random_f32({out});
      args.upsample_nearest = enlarged;
      const int64_t scale = enlarged ? 2 : 1;
      const auto run = [&](int64_t first, int64_t count) {
        return convolve(x.slice(0, first, count), w, args, {count, height * scale, width * scale, out});
      };
      const std::string what = (enlarged ? "enlarged " : "conv2d ") + Shape{height, width, in, out}.to_string();
      expect_thread_independent([&] { return run(0, batch); }, what);
      expect_member_independent(
          run(0, batch), [&](int64_t b) { return run(b, 1); }, what);
    }
  }
}

TEST_P(ConvTest, StripsHaveTheBitsOfTheWholeMap) {
  for (const bool enlarged : {false, true}) {
    for (const auto [height, width, in, out] : {Map{24, 16, 64, 48}, Map{13, 9, 16, 3}}) {
      const int64_t scale = enlarged ? 2 : 1;
      const Tensor x = random({1, height, width, in});
      const Weight w = prepare_conv2d(ctx(), random({out, in, 3, 3}));
      Conv2dArgs args;
      args.upsample_nearest = enlarged;
      const Tensor whole = convolve(x, w, args, {1, height * scale, width * scale, out});
      for (const auto& [first, rows] : {std::pair<int64_t, int64_t>{0, 5}, {2, 3}, {3, 5}, {4, 9}, {height - 6, 6}}) {
        // Without padding where the map goes on, the outermost output rows belong to the neighbours.
        Conv2dArgs strip = args;
        strip.pad_top = first == 0 ? 1 : 0;
        strip.pad_bottom = first + rows == height ? 1 : 0;
        strip.first_row = first * scale + 1 - strip.pad_top;
        const int64_t out_rows = rows * scale - (2 - strip.pad_top - strip.pad_bottom);
        const Tensor part = convolve(x.slice(1, first, rows), w, strip, {1, out_rows, width * scale, out});
        EXPECT_TRUE(same_bits(part, whole.slice(1, strip.first_row, out_rows)))
            << (enlarged ? "enlarged" : "direct") << " rows " << first << " + " << rows << " of " << x.describe();
      }
    }
  }
}

TEST_P(ConvTest, Conv2dUsesThePlannedMemory) {
  for (const bool enlarged : {false, true}) {
    const Tensor x = random({2, 9, 11, 24}), w = random({16, 24, 3, 3}), y = output({2, enlarged ? 18 : 9, enlarged ? 22 : 11, 16});
    Conv2dArgs args;
    args.upsample_nearest = enlarged;
    expect_planned([&](Context& context) { conv2d(context, x, prepare_conv2d(context, w), y, args); });
  }
}

TEST_P(ConvTest, DepthwiseEqualsReference) {
  for (const auto [height, width, channels, unused] :
       {Map{1, 1, 2, 0}, Map{2, 3, 6, 0}, Map{5, 7, 34, 0}, Map{9, 4, 64, 0}, Map{3, 65, 32, 0}, Map{8, 5, 130, 0}, Map{4, 130, 16, 0}}) {
    for (const int64_t kernel : {1, 3, 5, 7}) {
      for (const bool gated : {false, true}) {
        const Tensor x = random({2, height, width, channels}), w = random_f32({kernel, kernel, channels}, 0.3f);
        DepthwiseArgs args;
        args.gated = gated;
        const std::string what = "depthwise " + Shape{height, width, channels, kernel, gated}.to_string();
        for (const bool bias : {false, true}) {
          if (bias) args.bias = random_f32({channels});
          const Tensor expected = reference::depthwise_conv2d(x, w, args), y = output(expected.shape());
          depthwise_conv2d(ctx(), x, w, y, args);
          // The product with silu of a near-zero gate may cancel: sums count twice.
          expect_close(y, expected, 2 * kernel * kernel, what);
        }
      }
    }
  }
}

TEST_P(ConvTest, DepthwiseHasTheSameBitsForAnyThreadsBatchAndStrip) {
  const int64_t batch = 2, height = 21, width = 19, channels = 150;
  const Tensor x = random({batch, height, width, channels});
  for (const int64_t kernel : {3, 5}) {
    const Tensor w = random_f32({kernel, kernel, channels});
    DepthwiseArgs args;
    args.gated = true;
    args.bias = random_f32({channels});
    const auto run = [&](int64_t first, int64_t count) {
      const Tensor y = output({count, height, width, channels / 2});
      depthwise_conv2d(ctx(), x.slice(0, first, count), w, y, args);
      return y;
    };
    const Tensor whole = run(0, batch);
    expect_thread_independent([&] { return run(0, batch); }, "depthwise");
    expect_member_independent(
        whole, [&](int64_t b) { return run(b, 1); }, "depthwise");
    for (const int64_t first : {0, 1, 6}) {
      DepthwiseArgs strip = args;
      const int64_t rows = 12, half = kernel / 2;
      strip.pad_top = first == 0 ? static_cast<int>(half) : 0;
      strip.pad_bottom = 0;
      const int64_t out_rows = rows + strip.pad_top - 2 * half;
      const Tensor y = output({1, out_rows, width, channels / 2});
      depthwise_conv2d(ctx(), x.slice(0, 0, 1).slice(1, first, rows), w, y, strip);
      EXPECT_TRUE(same_bits(y, whole.slice(0, 0, 1).slice(1, first + half - strip.pad_top, out_rows))) << "strip from row " << first;
    }
  }
}

}  // namespace
}  // namespace linea::test
