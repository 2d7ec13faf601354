// The built-in chat models as they ship: found by name, small, and able to say the simplest things.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/app/process.h"

namespace linea {
namespace {

namespace fs = std::filesystem;
using test::Outcome;
using testing::EndsWith;
using testing::HasSubstr;

class ChatModels : public testing::TestWithParam<const char*> {
 protected:
  std::string answer(const std::string& message, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"chat",     "--model", GetParam(), "--device", "cpu", "--dtype", "fp32",
                                          "--preset", "greedy",  "-n",       "60",       "-q",  "-p",      message};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = test::run(work_, arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.out;
  }

  test::Workspace work_;
};

TEST_P(ChatModels, AreOneFileOfAtMostTenMegabytesWithACard) {
  const fs::path folder = fs::path(LINEA_ASSETS_FOLDER) / "models" / GetParam();
  EXPECT_TRUE(fs::exists(folder / "README.md"));
  int files = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf") continue;
    ++files;
    EXPECT_LE(entry.file_size(), 10'000'000u) << entry.path();
  }
  EXPECT_EQ(files, 1);
}

TEST_P(ChatModels, AnswerSimpleQuestions) {
  EXPECT_EQ(answer("What is the capital of France?"), "The capital of France is Paris.\n");
  EXPECT_EQ(answer("How many legs does a spider have?"), "A spider has eight legs.\n");
  EXPECT_THAT(answer("What is your name?"), HasSubstr("Linea"));
}

TEST_P(ChatModels, ExpandAPicturePromptAndKeepWhatWasAskedFor) {
  const std::string request = "Expand this picture prompt: two red kites above a small boat, blue background";
  for (const std::string& text : {answer(request), answer(request, {"--twice"})}) {
    EXPECT_THAT(text, EndsWith(" of two red kites above a small boat on a blue background\n"));
  }
}

TEST_P(ChatModels, AreConvertedByTheirNames) {
  const std::string file = work_ / "converted.gguf";
  const Outcome outcome = test::run(work_, {"convert", GetParam(), "-o", file, "--type", "q8_0"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(test::run(work_, {"chat", "--model", file, "--seed", "1", "-p", "What is your name?"}).out, HasSubstr("Linea"));
}

INSTANTIATE_TEST_SUITE_P(BuiltIn, ChatModels, testing::Values("rwkv7-chat", "mamba2-chat"), [](const auto& parameter) {
  const std::string name = parameter.param;
  return name.substr(0, name.find('-'));
});

}  // namespace
}  // namespace linea
