// Models, Settings, Shortcuts, and every view at several sizes and in both themes.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/studio/gui.h"
#include "tests/support/golden.h"

namespace linea::test {
namespace {

std::string shot(const std::string& name) { return "screenshot \"" + screenshot(name).string() + "\"\n"; }

class PagesGui : public StudioTest {};

TEST_F(PagesGui, ModelsSayWhatTheyAre) {
  std::filesystem::copy(data_path("pipeline/model"), home_ / "half-a-model", std::filesystem::copy_options::recursive);
  expect_success(
      home_.run("wait idle\nview models\nwait item #models/card/sana-mini\nexpect value #models/card/sana-mini \"ready\"\nclick "
                "#models/path\ntype \"" +
                (home_ / "half-a-model").string() + R"("
click "Add"
wait item "half-a-model"
wait text "missing: text_encoder, tokenizer"
)" + shot("models") +
                R"(click "Leave out"
wait gone #models/card/half-a-model
click "Undo"
wait item #models/card/half-a-model
)"));
}

TEST_F(PagesGui, AModelIsAddedByDroppingIt) {
  std::filesystem::copy(data_path("pipeline/model"), home_ / "dropped-model", std::filesystem::copy_options::recursive);
  expect_success(home_.run("wait idle\ndrop \"" + (home_ / "dropped-model").string() + "\"\nwait item #models/card/dropped-model\n"));
}

TEST_F(PagesGui, AChatModelIsQuantised) {
  expect_success(home_.run(R"(wait idle
view models
wait enabled "Quantise"
click "Quantise"
wait item "q4_0"
)" + shot("quantise") + R"(click "q4_0"
wait text "is ready."
wait text "q4_0.gguf"
wait item #models/remove
)" + shot("models-quantised")));
  const std::filesystem::path file = home_ / "models/rwkv7-chat-q4_0.gguf";
  ASSERT_TRUE(std::filesystem::exists(file));
  EXPECT_GT(std::filesystem::file_size(file), 1u << 20);
}

// By keyboard alone: down into a folder, up again, a name typed, and taken.
TEST_F(PagesGui, FilesAreChosenByKeyboard) {
  std::filesystem::create_directories(home_ / "checkpoints/half-a-model");
  std::filesystem::copy(data_path("pipeline/model"), home_ / "checkpoints/half-a-model",
                        std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  expect_success(home_.run("wait idle\nview models\nclick \"Browse\"\nwait item #files/path\nkey Ctrl+A\ntype \"" + home_.path().string() +
                           R"(/chec"
wait item "checkpoints"
key Enter
wait item "half-a-model"
key Alt+Up
wait item "checkpoints"
type "check"
key Enter
wait item "half-a-model"
key Down
key Ctrl+Enter
wait gone #files/path
wait item "half-a-model"
key Ctrl+,
click "Browse"
wait item #files/path
key Esc
wait gone #files/path
)"));
}

TEST_F(PagesGui, SettingsHoldAndAreWritten) {
  expect_success(home_.run(R"(wait idle
key Ctrl+,
wait item "Light"
)" + shot("settings") + R"(click "Light"
wait frames 2
)" + shot("settings-light") +
                           R"(click "Names of new pictures"
key Ctrl+A
type "{seed}-{nothing}.png"
wait text "nothing"
key Ctrl+A
type "{seed}-{steps}.png"
wait text "42-20.png"
wait seconds 3
)"));
  std::ifstream file(home_.settings());
  const Json settings = Json::parse(file);
  EXPECT_EQ(settings["theme"], "light");
  EXPECT_EQ(settings["name_pattern"], "{seed}-{steps}.png");
}

TEST_F(PagesGui, ShortcutsPage) {
  expect_success(
      home_.run("wait idle\nkey Ctrl+/\nwait text \"first in line\"\n" + shot("shortcuts") + "key Ctrl+/\nwait item \"Generate\"\n"));
}

TEST_F(PagesGui, EveryViewAtEverySizeAndTheme) {
  struct Size {
    const char *window, *scale, *name;
  };
  for (const Size& size : {Size{"1280x800", "1", "small"}, Size{"1920x1080", "1", "large"}, Size{"3840x2160", "2", "4k"}}) {
    std::string script = "wait idle\n";
    for (const char* theme : {"dark", "light"}) {
      script += std::string("theme ") + theme + "\n";
      for (const char* view : {"create", "gallery", "chat", "queue", "models", "settings", "shortcuts"}) {
        script +=
            std::string("view ") + view + "\nwait idle\nwait frames 3\n" + shot(std::string("all/") + view + "-" + size.name + "-" + theme);
      }
    }
    std::filesystem::create_directories(screenshot("all/x").parent_path());
    expect_success(home_.run(script, {"--window", size.window, "--scale", size.scale}));
  }
}

}  // namespace
}  // namespace linea::test
