// Damaged GGUF and torch files: whatever a reader is given, it returns or throws linea::Error. Meant to run under the sanitizers too.
#include "core/gguf.h"
#include "core/pickle.h"
#include "core/quantized.h"
#include "core/torch_checkpoint.h"
#include "tests/core/fixtures.h"
#include "tests/core/mutation.h"
#include "tests/core/torch_fixtures.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

// Touches all that was handed out; quantised tensors are decoded.
unsigned sum_of(const std::map<std::string, Tensor>& tensors) {
  unsigned sum = 0;
  for (const auto& [name, tensor] : tensors) {
    for (int64_t i = 0; i < tensor.bytes(); ++i) sum += static_cast<const uint8_t*>(tensor.raw())[i];
    if (is_quantized(tensor.dtype())) dequantized(tensor, DType::kF32);
  }
  return sum;
}

template <class File> void expect_reader_survives(const std::string& name, int count, uint32_t seed) {
  const std::string good = test::read_bytes(test::data_path("checkpoints/" + name));
  test::MemoryFile bad;
  const auto read = [&](const std::string& data) {
    bad.replace(data.data(), data.size());
    return sum_of(File(bad.path()).tensors());
  };
  EXPECT_NO_THROW(read(good));
  test::expect_survives(good, count, seed, read);
  for (size_t size = 0; size < good.size(); size += 1 + good.size() / 2000) {
    EXPECT_TRUE(test::error_of([&] { read(good.substr(0, size)); })) << size;
  }
}

TEST(CheckpointMutation, Gguf) { expect_reader_survives<GgufFile>("mixed.gguf", 20'000, 11); }
TEST(CheckpointMutation, Torch) { expect_reader_survives<TorchCheckpoint>("plain.pth", 20'000, 12); }
TEST(CheckpointMutation, NestedTorch) { expect_reader_survives<TorchCheckpoint>("nested.pth", 10'000, 13); }

// Pickles inside a sound archive, so that every mutation reaches the interpreter.
TEST(CheckpointMutation, Pickle) {
  std::string body = "}(";
  for (const char* name : {"a", "b", "c"}) body += test::text(name) + test::pickled({.size = {2, 2}, .stride = {2, 1}}) + "q\x01";
  const std::string good = test::pickle_of(body + test::text("d") + "ccollections\nOrderedDict\n)R" + test::text("e") +
                                           test::pickled({.offset = 1, .size = {3}}) + "su");
  test::MemoryFile bad;
  const auto read = [&](const std::string& pickle) {
    const std::string file = test::torch_file(pickle);
    bad.replace(file.data(), file.size());
    return sum_of(TorchCheckpoint(bad.path()).tensors());
  };
  EXPECT_NO_THROW(read(good));
  test::expect_survives(good, 30'000, 14, read);
}

// Programs of random opcodes with plausible arguments.
TEST(CheckpointMutation, RandomPickles) {
  const std::vector<std::string> pieces{"}",
                                        "]",
                                        ")",
                                        "(",
                                        "N",
                                        "\x88",
                                        "K\x01",
                                        "u",
                                        "s",
                                        "e",
                                        "a",
                                        "t",
                                        "\x85",
                                        "\x86",
                                        "\x87",
                                        "Q",
                                        "R",
                                        "b",
                                        "\x81",
                                        "q\x01",
                                        "h\x01",
                                        "q\x02",
                                        "h\x02",
                                        test::text("storage"),
                                        test::text("0"),
                                        test::integer(1),
                                        "ctorch\nFloatStorage\n",
                                        "ctorch._utils\n_rebuild_tensor_v2\n",
                                        "ctorch._utils\n_rebuild_tensor_v3\n",
                                        "ctorch._utils\n_rebuild_parameter\n",
                                        "ccollections\nOrderedDict\n",
                                        "ctorch\nSize\n",
                                        "ctorch\nfloat16\n",
                                        test::pickled({}),
                                        test::tuple({2, 2}),
                                        test::tuple({})};
  std::mt19937 random(15);
  for (int i = 0; i < 50'000; ++i) {
    std::string body;
    for (unsigned n = random() % 40; n > 0; --n) body += pieces[random() % pieces.size()];
    const std::string pickle = test::pickle_of(body);
    try {
      const Pickle value(std::as_bytes(std::span(pickle)), "x");
      static_cast<void>(value.root());
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::kModel) << error.what();
    }
  }
}

}  // namespace
}  // namespace linea
