#include "core/resize.h"

#include <gtest/gtest.h>

#include "core/threads.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

TEST(Resize, EqualsTorch) {
  const test::Golden golden("resize.safetensors");
  for (int n = 0; golden.contains(std::to_string(n) + ".x"); ++n) {
    const Tensor x = golden[std::to_string(n) + ".x"], expected = golden[std::to_string(n) + ".y"];
    const Tensor y = resize_bilinear(x, expected.dim(1), expected.dim(2));
    EXPECT_LE(test::max_abs_difference(y, expected), 1e-6) << n << ": " << x.describe() << " -> " << y.describe();
  }
}

TEST(Resize, SameSizeIsTheSamePicture) {
  const Tensor x = test::random_tensor({1, 9, 11, 3}, 1);
  EXPECT_TRUE(test::same_bits(resize_bilinear(x, 9, 11), x));
}

TEST(Resize, DoesNotDependOnThreads) {
  const int before = thread_count();
  const Tensor x = test::random_tensor({1, 31, 17, 3}, 2);
  set_thread_count(1);
  const Tensor one = resize_bilinear(x, 45, 20);
  set_thread_count(4);
  EXPECT_TRUE(test::same_bits(resize_bilinear(x, 45, 20), one));
  set_thread_count(before);
}

TEST(Crop, TakesTheMiddle) {
  Tensor x({1, 5, 6, 1}, DType::kF32);
  for (int i = 0; i < 30; ++i) x.data<float>()[i] = static_cast<float>(i);
  const Tensor y = centre_crop(x, 2, 3);  // offsets (5 - 2) / 2 = 1 and (6 - 3) / 2 = 1
  EXPECT_EQ(y.shape(), (Shape{1, 2, 3, 1}));
  EXPECT_EQ(*y.data<float>(), 7.0f);
  EXPECT_TRUE(test::same_bits(centre_crop(x, 5, 6), x));
  EXPECT_THROW(centre_crop(x, 6, 6), Error);
}

}  // namespace
}  // namespace linea
