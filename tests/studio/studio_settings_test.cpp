#include "app/studio/studio_settings.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temporary_folder.h"

namespace linea::studio {
namespace {

TEST(StudioSettings, RoundTripKeepsUnknownKeys) {
  StudioSettings s = settings_from_text(R"({"version": 1, "theme": "light", "from_the_future": {"a": [1]}})", "test");
  EXPECT_EQ(s.theme, "light");
  s.form.prompt = "a cat";
  s.prompt_history = {"one", "two"};
  const StudioSettings again = settings_from_text(to_text(s), "test");
  EXPECT_EQ(again.form, s.form);
  EXPECT_EQ(again.prompt_history, s.prompt_history);
  EXPECT_EQ(again.unknown, Json::parse(R"({"from_the_future": {"a": [1]}})"));
  EXPECT_EQ(to_text(again), to_text(s));
}

TEST(StudioSettings, WrongTypesAndNumbersGiveDefaults) {
  const StudioSettings s =
      settings_from_text(R"({"theme": 3, "scale": 1e9, "window_width": -1, "left_width": "x", "model_folders": {}})", "test");
  EXPECT_EQ(s.theme, "dark");
  EXPECT_EQ(s.scale, 4);
  EXPECT_EQ(s.window_width, 640);
  EXPECT_EQ(s.left_width, 300);
  EXPECT_TRUE(s.model_folders.empty());
}

TEST(StudioSettings, ADamagedFileIsSetAside) {
  const test::TemporaryFolder folder;
  folder.write("studio.json", "{\"theme\": \"light\"");
  std::string problem;
  EXPECT_EQ(load_settings(folder.path() / "studio.json", problem).theme, "dark");
  EXPECT_NE(problem.find("studio.json"), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "studio.json.damaged"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "studio.json"));
}

TEST(StudioSettings, SavedInANewFolder) {
  const test::TemporaryFolder folder;
  StudioSettings s;
  s.scale = 1.5;
  save_settings(folder.path() / "a" / "b.json", to_text(s));
  std::string problem;
  EXPECT_EQ(load_settings(folder.path() / "a" / "b.json", problem).scale, 1.5);
  EXPECT_EQ(problem, "");
}

}  // namespace
}  // namespace linea::studio
