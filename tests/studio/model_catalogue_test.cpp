#include "app/studio/model_catalogue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace linea::studio {
namespace {

TEST(ModelCatalogue, FindsTheBuiltInModel) {
  const auto models = find_models({});
  const auto mini = std::find_if(models.begin(), models.end(), [](const ModelEntry& m) { return m.name == "sana-mini"; });
  ASSERT_NE(mini, models.end());
  EXPECT_TRUE(mini->built_in);
  EXPECT_TRUE(mini->ready()) << mini->problem;
  EXPECT_EQ(mini->family, "SANA");
  EXPECT_EQ(mini->native_side, 512);
  EXPECT_GT(mini->parameters, 10000000);
}

TEST(ModelCatalogue, FindsTheBuiltInChatModels) {
  const auto models = find_models({});
  for (const auto& [name, family] : {std::pair{"rwkv7-chat", "RWKV-7"}, std::pair{"mamba2-chat", "Mamba-2"}}) {
    const auto chat = std::find_if(models.begin(), models.end(), [&](const ModelEntry& m) { return m.name == name; });
    ASSERT_NE(chat, models.end()) << name;
    EXPECT_EQ(chat->kind, ModelKind::kChat);
    EXPECT_TRUE(chat->built_in);
    EXPECT_TRUE(chat->ready()) << chat->problem;
    EXPECT_EQ(chat->family, family);
  }
  const auto first = std::find_if(models.begin(), models.end(), [](const ModelEntry& m) { return m.kind == ModelKind::kChat; });
  EXPECT_EQ(first->name, "rwkv7-chat");  // the command line's default
}

TEST(ModelCatalogue, SaysWhatIsMissing) {
  const test::TemporaryFolder folder;
  std::filesystem::copy(test::data_path("pipeline/model"), folder.path(), std::filesystem::copy_options::recursive);
  const ModelEntry entry = look_at_model(folder.path());
  EXPECT_EQ(entry.kind, ModelKind::kPicture);
  EXPECT_EQ(entry.missing, (std::vector<std::string>{"text_encoder", "tokenizer"}));
  EXPECT_FALSE(entry.ready());
}

TEST(ModelCatalogue, WhatIsNoModel) {
  const test::TemporaryFolder folder;
  folder.write("notes.txt", "x");
  EXPECT_EQ(look_at_model(folder.path()).problem, "no model that Linea knows");
  EXPECT_EQ(look_at_model(folder.path() / "nothing").problem, "not found");
  folder.write("bad.safetensors", "not a checkpoint");
  EXPECT_FALSE(look_at_model(folder.path() / "bad.safetensors").ready());
}

TEST(ModelCatalogue, TheSameFolderCountsOnce) {
  const test::TemporaryFolder folder;
  std::filesystem::copy(test::data_path("pipeline/model"), folder.path() / "m", std::filesystem::copy_options::recursive);
  const auto models = find_models({folder.path().string(), (folder.path() / "m").string()});
  EXPECT_EQ(std::count_if(models.begin(), models.end(), [](const ModelEntry& m) { return m.title == "m"; }), 1);
}

}  // namespace
}  // namespace linea::studio
