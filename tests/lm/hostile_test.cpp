// Language models whose files were damaged: one clear line, or a model that runs; never a crash, a hang or a memory bomb.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "lm/model_folder.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class DamagedModel : public testing::TestWithParam<const char*> {
 protected:
  // True when the file was refused.
  bool refused(const std::string& content) {
    const std::string name = std::string("model") + fs::path(GetParam()).extension().string();
    folder_.write(name, content);
    test::TestContext ctx(DType::kF32, int64_t{16} << 20);
    try {
      const LanguageModelFolder model = open_language_model(*ctx, folder_.path() / name);
      if (model.tokenizer) model.tokenizer->decode(model.tokenizer->encode("It's  42\n\u00e9 \xff"));
      State state = model.model->initial_state(*ctx);
      const Tensor logits({1, model.model->vocabulary_size()}, DType::kF32, test::test_device());
      model.model->prefill(*ctx, std::vector<int32_t>{0, 0, 0}, state, logits);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kModel) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return true;
    }
    return false;
  }

  const std::string whole_ = content_of(test::data_path(GetParam()));
  const test::TemporaryFolder folder_;
};

TEST_P(DamagedModel, Truncated) {
  ASSERT_FALSE(refused(whole_));
  constexpr size_t kOffsets = 200;
  for (size_t i = 0; i < kOffsets; ++i) EXPECT_TRUE(refused(whole_.substr(0, whole_.size() * i / kOffsets))) << i;
}

// Bytes of the header changed, deleted, doubled; numbers replaced by extreme ones.
TEST_P(DamagedModel, Mutated) {
  std::mt19937 random(7);
  const size_t header = std::min<size_t>(whole_.size(), 8000);
  int refusals = 0;
  constexpr int kRounds = 600;
  for (int round = 0; round < kRounds; ++round) {
    std::string text = whole_;
    const size_t at = random() % (header - 8);
    switch (random() % 4) {
      case 0: text[at] = static_cast<char>(random()); break;
      case 1: text.erase(at, 1 + random() % 8); break;
      case 2: text.insert(at, text.substr(at, 1 + random() % 8)); break;
      default: {
        const uint64_t extremes[] = {0, 1, 0x7fffffff, 0xffffffff, uint64_t{1} << 40, uint64_t{1} << 62, ~uint64_t{0}};
        std::memcpy(text.data() + at, &extremes[random() % 7], random() % 2 ? 8 : 4);
        break;
      }
    }
    refusals += refused(text);
  }
  EXPECT_GT(refusals, kRounds / 3);
}

INSTANTIATE_TEST_SUITE_P(Files, DamagedModel,
                         testing::Values("lm/rwkv7/model.gguf", "lm/rwkv6/model.gguf", "lm/mamba1/model.gguf", "lm/mamba2/model.gguf",
                                         "lm/rwkv7/model.safetensors", "lm/rwkv5.2/model.safetensors"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace linea
