// DC-AE's rearrangements and shortcuts.
#include "tests/kernels/fixture.h"
#include "tests/kernels/reference.h"

namespace linea::test {
namespace {

class RearrangeTest : public KernelTest {};
LINEA_KERNEL_SUITE(RearrangeTest);

TEST_P(RearrangeTest, PixelShufflesAreInverse) {
  for (const int64_t channels : {1, 3, 16, 33, 64}) {
    const Tensor x = random({2, 3, 5, 4 * channels}), y = output({2, 6, 10, channels}), back = output(x.shape());
    pixel_shuffle(ctx(), x, y);
    EXPECT_EQ(max_abs_difference(y, reference::pixel_shuffle(x)), 0.0);
    pixel_unshuffle(ctx(), y, back);
    EXPECT_TRUE(same_bits(x, back));
    EXPECT_EQ(max_abs_difference(back, reference::pixel_unshuffle(y)), 0.0);
  }
}

TEST_P(RearrangeTest, ShortcutsBetweenScalesEqualTheirReferences) {
  for (const int64_t in : {2, 8, 16, 34, 64}) {
    for (const int64_t out : {in / 2, in, 2 * in, 4 * in}) {
      const Tensor fine = random({2, 4, 6, in}), coarse = random({2, 2, 3, out});
      const Tensor down = reference::add_downsample_shortcut(fine, coarse);
      add_downsample_shortcut(ctx(), fine, coarse);
      expect_close(coarse, down, 8, "downsample " + Shape{in, out}.to_string());

      const Tensor small = random({2, 2, 3, out}), large = random({2, 4, 6, in});
      const Tensor up = reference::add_upsample_shortcut(small, large);
      add_upsample_shortcut(ctx(), small, large);
      expect_close(large, up, 2, "upsample " + Shape{out, in}.to_string());
    }
  }
}

TEST_P(RearrangeTest, ChannelShortcutsEqualTheirReferences) {
  for (const auto& [narrow, factor] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {32, 32}, {7, 16}, {16, 2}}) {
    const Tensor wide = pitched({9, narrow * factor}), thin = pitched({9, narrow});
    const Tensor mean = reference::add_channel_mean(wide, thin);
    add_channel_mean(ctx(), wide, thin);
    expect_close(thin, mean, factor, "add_channel_mean");
    const Tensor repeated = reference::add_channel_repeat(thin, wide);
    add_channel_repeat(ctx(), thin, wide);
    expect_close(wide, repeated, 2, "add_channel_repeat");
  }
}

TEST_P(RearrangeTest, HaveTheSameBitsForAnyThreads) {
  const Tensor x = random({2, 16, 20, 64}), start = random({2, 32, 40, 32});
  expect_thread_independent(
      [&] {
        const Tensor y = output(start.shape());
        cast(ctx(), start, y);
        add_upsample_shortcut(ctx(), x, y);
        return y;
      },
      "add_upsample_shortcut");
}

}  // namespace
}  // namespace linea::test
