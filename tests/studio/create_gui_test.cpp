// The Create view in a real window.
#include <gtest/gtest.h>

#include <fstream>

#include "app/engine/picture_settings.h"
#include "app/library/library.h"
#include "tests/studio/gui.h"

namespace linea::test {
namespace {

class CreateGui : public StudioTest {};

std::string shot(const std::string& name) { return "screenshot \"" + screenshot(name).string() + "\"\n"; }

constexpr const char* kQuick = "wait idle\nclick #create/steps\ntype \"2\"\nkey Enter\n";  // two steps

TEST_F(CreateGui, FirstStartRendersAPictureWithOneClick) {
  expect_success(home_.run("wait idle\nexpect text \"needs no download\"\n" + shot("first-start") +
                           "click \"Generate\"\nwait picture\nwait idle\n" + shot("create")));
  Library library(home_.library());
  const auto pictures = library.pictures({}, 0, 10);
  ASSERT_EQ(pictures.size(), 1u);
  EXPECT_TRUE(std::filesystem::exists(pictures[0].path));
  EXPECT_EQ(pictures[0].width, 512);
}

TEST_F(CreateGui, EveryFieldReachesThePicture) {
  expect_success(home_.run(std::string(kQuick) + R"(
key Ctrl+L
key Ctrl+A
type "two yellow lemons"
click "Negative prompt"
click #create/negative
type "blurry"
click #create/width
type "256"
key Enter
click #create/height
type "256"
key Enter
click #create/guidance
type "3.5"
key Enter
click #create/scheduler
click "Flow Euler"
click #create/seed
key Ctrl+A
type "77"
click #create/count
type "2"
key Enter
expect value #create/seed "77"
key Ctrl+Enter
wait picture 2
wait idle
)" + shot("create-settings")));
  Library library(home_.library());
  const auto pictures = library.pictures({}, 0, 10);
  ASSERT_EQ(pictures.size(), 2u);
  const PictureSettings s = settings_from_json(pictures[1].settings, "picture");
  EXPECT_EQ(s.request.prompt, "two yellow lemons");
  EXPECT_EQ(s.request.negative, "blurry");
  EXPECT_EQ(s.request.size.width, 256);
  EXPECT_EQ(s.request.steps, 2);
  EXPECT_EQ(s.request.guidance, 3.5);
  EXPECT_EQ(s.request.scheduler, "euler");
  EXPECT_EQ(s.request.seed, 77u);
  EXPECT_EQ(pictures[0].seed, 78u);
}

TEST_F(CreateGui, EscapeStopsWithinAStepAndThePreviewShows) {
  expect_success(home_.run(R"(wait idle
click #create/steps
type "400"
key Enter
key Ctrl+Enter
wait item "Cancel"
wait text "/400"
wait seconds 2
)" + shot("rendering") + R"(key Esc
wait gone "Cancel"
wait idle
view queue
wait value #queue/row/1 "cancelled"
)"));
}

TEST_F(CreateGui, PromptHistoryUndoAndWordWrap) {
  expect_success(home_.run(std::string(kQuick) + R"(
key Ctrl+L
key Ctrl+A
type "first prompt"
key Ctrl+Enter
wait picture
key Ctrl+A
type "second prompt that is long enough to be wrapped over several lines of the field, and goes on for a while so that it surely is"
wait frames 3
)" + shot("prompt") + R"(
key Alt+Up
expect value #create/prompt "first prompt"
key Alt+Down
expect text "second prompt that"
key Ctrl+Z
expect value #create/prompt "first prompt"
key Esc
click #create/steps
type "9"
key Enter
expect value #create/steps "9"
key Ctrl+Z
expect value #create/steps "2"
key Ctrl+Shift+Z
expect value #create/steps "9"
)"));
}

TEST_F(CreateGui, WhatIsDisabledSaysWhy) {
  expect_success(home_.run(R"(wait idle
key Ctrl+L
key Ctrl+A
key Delete
wait disabled "Generate"
move "Generate"
wait text "Say what to draw first."
)"));
}

TEST_F(CreateGui, SizesPresetsLockAndSwap) {
  expect_success(home_.run(R"(wait idle
click #create/preset
)" + shot("menu") + R"(click "16:9"
expect value #create/width "672"
expect value #create/height "384"
click "Swap width and height"
expect value #create/width "384"
click "Keep the proportions"
click #create/width
type "768"
key Enter
expect value #create/height "1344"
double-click #create/width
expect value #create/width "512"
)"));
}

TEST_F(CreateGui, CountsTokensAndTellsThePlan) {
  expect_success(home_.run(R"(wait idle
key Ctrl+L
key Ctrl+A
type "a red apple"
wait text "/ 300 tokens"
wait item #create/plan
)"));
}

TEST_F(CreateGui, ControlsExplainThemselves) {
  expect_success(home_.run("wait idle\nmove #create/guidance\nwait text \"How strictly to follow\"\n" + shot("tooltip")));
}

TEST_F(CreateGui, PanelsFoldAndKeepTheirWidths) {
  expect_success(
      home_.run("wait idle\ndrag #edge/left 60 0\nkey F2\nwait frames 2\nexpect gone \"Latest\"\nkey F1\nexpect gone #create/prompt\n" +
                shot("folded") + "key F1\nexpect item #create/prompt\n"));
  std::ifstream file(home_.settings());
  const Json settings = Json::parse(file);
  EXPECT_NEAR(settings["left_width"].get<double>(), 360, 3);
  EXPECT_FALSE(settings["right_open"].get<bool>());
}

TEST_F(CreateGui, DroppedPicturesGiveTheirSettingsBack) {
  Image image;
  image.width = image.height = 64;
  image.pixels.assign(64 * 64 * 3, 120);
  write_image(home_ / "foreign.png", image,
              {.text = {{"parameters", "a castle\nSteps: 7, CFG scale: 3, Seed: 5, Size: 640x512, Hires upscale: 2"}}});
  write_image(home_ / "plain.png", image, {});
  expect_success(home_.run("wait idle\ndrop \"" + (home_ / "foreign.png").string() + R"("
wait text "one of them has no meaning here"
click "Details"
wait text "Hires upscale: 2"
)" + shot("restored") + R"(expect value #create/prompt "a castle"
expect value #create/steps "7"
expect value #create/seed "5"
expect value #create/width "640"
drop ")" + (home_ / "plain.png").string() +
                           "\"\nwait text \"does not say how it was made\"\n"));
}

TEST_F(CreateGui, WorksByKeyboardAlone) {
  expect_success(home_.run(R"(wait idle
key Tab
key Tab
key Tab
wait frames 2
key Ctrl+2
wait item "Search prompts"
key Ctrl+1
wait item "Generate"
wait enabled "Expand"
key Ctrl+L
expect focus #create/prompt
key Tab
key Tab
key Tab
expect focus #create/negative-fold
key Enter
wait item #create/negative
)" + shot("keyboard")));
}

TEST_F(CreateGui, WhatDoesNotFitIsToldBeforeTheStart) {
  std::filesystem::create_directories(home_ / "config/linea");
  std::ofstream(home_.settings()) << R"({"version": 1, "memory_gigabytes": 0.05, "form": {"prompt": "a red apple"}})";
  expect_success(home_.run("wait text \"Does not fit\"\n" + shot("does-not-fit")));
}

TEST_F(CreateGui, TheChatModelExpandsAndVariesThePrompt) {
  expect_success(home_.run(R"(wait idle
wait enabled "Expand"
key Ctrl+L
key Ctrl+A
type "a boat"
click "Expand"
wait text "writes a prompt"
wait changed #create/prompt "a boat"
click "Vary"
wait idle
wait seconds 1
)"));
}

TEST_F(CreateGui, APictureIsChosenFromTheDisk) {
  Image image;
  image.width = image.height = 64;
  image.pixels.assign(64 * 64 * 3, 120);
  write_image(home_ / "chosen.png", image, {.text = {{"parameters", "a lighthouse\nSteps: 7, CFG scale: 3, Seed: 5, Size: 64x64"}}});
  expect_success(home_.run("wait idle\nkey Ctrl+O\nwait item #files/path\nkey Ctrl+A\ntype \"" + home_.path().string() +
                           "/cho\"\nwait item \"chosen.png\"\nkey Enter\nwait value #create/prompt \"a lighthouse\"\n"));
}

// Text chunks that are huge, nested or no text at all: a sentence, and the studio goes on.
TEST_F(CreateGui, HostilePictureTextsAreOneSentence) {
  Image image;
  image.width = image.height = 64;
  image.pixels.assign(64 * 64 * 3, 120);
  std::string script = "wait idle\n";
  const std::string texts[] = {std::string(300000, '['), "{\"a\":" + std::string(100000, '{'), "\xff\xfe\x01 no text",
                               "Steps: 1e999, Seed: -7",
                               std::string(2000000, 'x') + "\nSteps: 3, CFG scale: 1, Seed: 4, Size: 999999x999999"};
  for (size_t i = 0; i < std::size(texts); ++i) {
    for (const char* key : {"parameters", "linea"}) {
      const std::string name = (home_ / (std::string(key) + std::to_string(i) + ".png")).string();
      write_image(name, image, {.text = {{key, texts[i]}}});
      script += "drop \"" + name + "\"\nwait item #toast/text\nwait idle\nwait frames 2\n";
    }
  }
  expect_success(home_.run(script + "expect item \"Generate\"\nexpect enabled \"Generate\"\n"));
}

// The menu of a field changes its text under what was laid out for this frame.
TEST_F(CreateGui, TheMenuOfATextField) {
  expect_success(home_.run(R"(wait idle
key Ctrl+L
key Ctrl+A
type "a long prompt that is wrapped over several lines of the field, and is cut away as a whole by the menu"
key Ctrl+A
right-click #create/prompt
click "Cut"
wait value #create/prompt ""
right-click #create/prompt
click "Paste"
wait text "a long prompt"
right-click #create/prompt
click "Undo"
wait value #create/prompt ""
)"));
}

}  // namespace
}  // namespace linea::test
