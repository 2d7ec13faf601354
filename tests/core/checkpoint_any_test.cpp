// Checkpoint::open_any: one way to weights in any format.
#include "core/checkpoint.h"
#include "core/gguf.h"
#include "core/quantized.h"
#include "tests/core/fixtures.h"
#include "tests/core/torch_fixtures.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::random_tensor;

class OpenAny : public testing::Test {
 protected:
  void write_parts(const std::string& stem) {
    for (uint16_t part = 0; part < 2; ++part) {
      const std::string name = stem + "-0000" + std::to_string(part + 1) + "-of-00002.gguf";
      write_gguf(folder_ / name, {{"split.no", part}, {"split.count", uint16_t{2}}}, {{part ? "b" : "a", a_}});
    }
  }
  void expect_refused(const fs::path& path, const std::string& message) {
    expect_error(ErrorKind::kModel, message, [&] { Checkpoint::open_any(path); });
  }

  test::TemporaryFolder folder_;
  Tensor a_ = random_tensor({2, 256}, 1);
};

TEST_F(OpenAny, TellsFormatsByContent) {
  write_safetensors(folder_ / "s.bin", {{"a", a_}});
  write_gguf(folder_ / "g.bin", {}, {{"a", a_}});
  fs::copy_file(test::data_path("checkpoints/nested.pth"), folder_ / "t.bin");
  EXPECT_TRUE(test::same_bits(Checkpoint::open_any(folder_ / "s.bin").load("a", {2, 256}, DType::kF32), a_));
  EXPECT_TRUE(test::same_bits(Checkpoint::open_any(folder_ / "g.bin").load("a", {2, 256}, DType::kF32), a_));
  const Checkpoint torch = Checkpoint::open_any(folder_ / "t.bin");
  EXPECT_EQ(torch.names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(test::same_bits(torch.load("a", {6, 8}, DType::kF32), test::Golden("checkpoints/torch.safetensors")["f32"]));
}

TEST_F(OpenAny, Dequantises) {
  for (const DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    const Tensor packed = quantized(a_, type);
    write_gguf(folder_ / "m.gguf", {}, {{"a", packed}});
    const Checkpoint checkpoint = Checkpoint::open_any(folder_ / "m.gguf");
    const Tensor values = checkpoint.load("a", {2, 256}, DType::kF32);
    EXPECT_TRUE(test::same_bits(values, dequantized(packed, DType::kF32)));
    EXPECT_LT(test::relative_l2(values, a_), 0.12);
    EXPECT_TRUE(test::same_bits(checkpoint.load("a", {2, 256}, DType::kBF16), values.to(DType::kBF16)));
    EXPECT_TRUE(test::same_bits(checkpoint.load("a", {2, 256}, type), packed));
    EXPECT_EQ(checkpoint.total_bytes(), packed.bytes());
    expect_error(ErrorKind::kModel, "m.gguf: tensor a: is " + std::string(name_of(type)) + ", which cannot become i32", [&] {
      checkpoint.load("a", {2, 256}, DType::kI32);
    });
    expect_error(ErrorKind::kModel, "expected shape [512], found [2, 256]", [&] { checkpoint.load("a", {512}, DType::kF32); });
  }
}

TEST_F(OpenAny, JoinsSplitModels) {
  write_parts("m");
  const std::vector<std::string> both{"a", "b"};
  EXPECT_EQ(Checkpoint::open_any(folder_ / "m-00001-of-00002.gguf").names(), both);
  EXPECT_EQ(Checkpoint::open_any(folder_ / "m-00002-of-00002.gguf").names(), both);
  EXPECT_EQ(Checkpoint::open_any(folder_.path()).names(), both);
  fs::copy_file(folder_ / "m-00001-of-00002.gguf", folder_ / "renamed.gguf");
  expect_refused(folder_ / "renamed.gguf", "is one of 2 parts, but is not called …-00001-of-00002.gguf");
  fs::remove(folder_ / "m-00002-of-00002.gguf");
  expect_refused(folder_ / "m-00001-of-00002.gguf", "its part m-00002-of-00002.gguf is missing");
  write_gguf(folder_ / "m-00002-of-00002.gguf", {{"split.count", uint16_t{2}}}, {{"a", a_}});
  expect_refused(folder_ / "m-00001-of-00002.gguf", "tensor a is also in m-00001-of-00002.gguf");
}

TEST_F(OpenAny, FindsTheWeightsOfAFolder) {
  expect_refused(folder_.path(), "no weights found");
  write_gguf(folder_ / "x.gguf", {}, {{"gguf", a_}});
  test::write_bytes(folder_ / "config.json", "{}");
  EXPECT_TRUE(Checkpoint::open_any(folder_.path()).contains("gguf"));
  fs::copy_file(test::data_path("checkpoints/plain.pth"), folder_ / "y.pth");
  expect_refused(folder_.path(), "holds 2 files of weights, among them x.gguf and y.pth");
  write_safetensors(folder_ / "model.safetensors", {{"safe", a_}});
  EXPECT_TRUE(Checkpoint::open_any(folder_.path()).contains("safe"));
}

TEST_F(OpenAny, RefusesOtherFiles) {
  expect_refused(folder_ / "absent", "absent: no such file or folder");
  test::write_bytes(folder_ / "j", "junk that is nothing");
  expect_refused(folder_ / "j", "j: is not a file of weights (safetensors, GGUF, or torch's zip form)");
  test::write_bytes(folder_ / "j", "");
  expect_refused(folder_ / "j", "j: is empty");
  test::write_bytes(folder_ / "j", "version https://git-lfs.github.com/spec/v1\n");
  expect_refused(folder_ / "j", "Git LFS pointer");
  expect_refused(test::data_path("checkpoints/legacy.pth"), "old torch format");
  expect_refused(test::data_path("checkpoints/hostile.pth"), "contains posix.system");
}

}  // namespace
}  // namespace linea
