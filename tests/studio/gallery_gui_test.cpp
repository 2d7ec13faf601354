// The Gallery and the Queue in a real window.
#include <gtest/gtest.h>

#include <signal.h>
#include <unistd.h>
#include <cmath>

#include <fstream>

#include "app/engine/picture_settings.h"
#include "app/library/library.h"
#include "tests/studio/gui.h"

namespace linea::test {
namespace {

class GalleryGui : public StudioTest {
 protected:
  static std::string shot(const std::string& name) { return "screenshot \"" + screenshot(name).string() + "\"\n"; }

  // A smooth picture of its own colours, with settings.
  std::filesystem::path make_picture(const std::string& name, const std::string& prompt, int64_t width, int64_t height, int hue) {
    Image image;
    image.width = width, image.height = height;
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        for (int c = 0; c < 3; ++c) {
          const double wave = std::sin(static_cast<double>(x) / 60 + hue + c * 2.1) * std::cos(static_cast<double>(y) / 80 + hue * 0.7);
          image.pixels.push_back(static_cast<uint8_t>(127 + 110 * wave));
        }
      }
    }
    PictureSettings s;
    s.request.prompt = prompt;
    s.request.size = {height, width};
    s.request.seed = static_cast<uint64_t>(hue);
    std::filesystem::create_directories(home_ / "album");
    write_image(home_ / ("album/" + name), image, {.text = to_image_text(s)});
    return home_ / ("album/" + name);
  }

  void make_album() {
    const char* const prompts[] = {"a red apple on a plate", "two yellow lemons", "a green boat at sea",
                                   "a red boat at sunset",   "a blue chair",      "a white cat beside a chair"};
    for (int i = 0; i < 24; ++i) {
      const int64_t shapes[][2] = {{512, 512}, {640, 448}, {448, 640}, {704, 384}};
      make_picture("p" + std::to_string(100 + i) + ".png", prompts[i % 6], shapes[i % 4][0], shapes[i % 4][1], i);
    }
  }
};

TEST_F(GalleryGui, EmptyAndAddingAFolder) {
  make_album();
  expect_success(
      home_.run("wait idle\nview gallery\nwait item #gallery/empty\n" + shot("gallery-empty") +
                "click \"Add a folder\"\nwait item #files/path\nkey Ctrl+A\ntype \"" + (home_ / "album").string() +
                "\"\nwait item \"album\"\n" + shot("file-dialog") +
                "key Ctrl+Enter\nwait text \"24 pictures\"\nwait idle\nwait seconds 1\nwait idle\nmove \"a blue chair\"\nwait frames 4\n" +
                shot("gallery")));
}

TEST_F(GalleryGui, SearchFiltersStarsAndUndoOfDelete) {
  make_album();
  expect_success(home_.run("wait idle\ndrop \"" + (home_ / "album").string() + R"("
wait text "24 pictures"
view gallery
wait item "a blue chair"
key Ctrl+F
type "red bo"
wait text "4 pictures"
wait item "a red boat"
key Esc
click "a red boat"
key 5
key Ctrl+F
key Ctrl+A
key Delete
wait text "24 pictures"
key Esc
click "5 or more stars"
wait text "1 picture "
)" + shot("gallery-filtered") +
                           R"(click "a red boat"
key Delete
wait item #gallery/empty
wait text "Picture deleted."
)" + shot("undo") + R"(click "Undo"
wait text "1 picture "
)"));
  Library library(home_.library());
  EXPECT_EQ(library.count_pictures({}), 24);
  PictureFilter starred;
  starred.min_stars = 5;
  EXPECT_EQ(library.count_pictures(starred), 1);
}

TEST_F(GalleryGui, MenuUseSettingsVaryAndCommand) {
  make_album();
  expect_success(home_.run("wait idle\ndrop \"" + (home_ / "album").string() + R"("
wait text "24 pictures"
view gallery
wait item "two yellow lemons"
right-click "two yellow lemons"
wait item "Copy as command line"
)" + shot("picture-menu") + R"(click "Copy as command line"
wait text "on the clipboard"
right-click "two yellow lemons"
wait item "Reuse"
click "Reuse"
wait item "Generate"
expect value #create/prompt "two yellow lemons"
key Ctrl+L
key Ctrl+A
key Ctrl+V
expect text "linea generate 'two yellow lemons'"
)"));
}

TEST_F(GalleryGui, NoticesWhatOtherProgramsMake) {
  const std::filesystem::path picture = make_picture("late.png", "a late arrival", 512, 512, 3);
  const std::filesystem::path seen_empty = home_ / "seen-empty.json";
  std::ofstream(home_ / "test.script") << "wait idle\nview gallery\nwait item #gallery/empty\nreport \"" + seen_empty.string() +
                                              "\"\nwait item \"a late arrival\"\n";
  const pid_t studio = home_.start({LINEA_STUDIO_PROGRAM, "--window", "1280x800", "--script", (home_ / "test.script").string()});
  for (int i = 0; i < 1200 && !std::filesystem::exists(seen_empty); ++i) usleep(50000);
  {
    Library library(home_.library());
    PictureRecord record;
    record.path = picture, record.prompt = "a late arrival", record.origin = "generate", record.width = record.height = 512;
    library.add_picture(record);
  }
  expect_success(home_.wait(studio));
}

TEST_F(GalleryGui, TagsAreGivenAndFilteredBy) {
  make_album();
  expect_success(home_.run("wait idle\ndrop \"" + (home_ / "album").string() + R"("
wait text "24 pictures"
view gallery
wait item "a blue chair"
click "a blue chair"
key T
wait item "Add a tag"
type "furniture"
key Enter
wait item "furniture"
type "blue"
key Enter
wait item "blue"
)" + shot("tags") + R"(click "Remove the tag blue"
wait gone "Remove the tag blue"
key Esc
wait gone "Add a tag"
click #gallery/tag
click "furniture"
wait text "1 picture ·"
double-click "a blue chair"
wait item "Reuse"
wait item "furniture"
click "Add a tag"
type "seat"
key Enter
wait item "seat"
)"));
  Library library(home_.library());
  EXPECT_EQ(library.tags(), (std::vector<std::string>{"furniture", "seat"}));
}

TEST_F(GalleryGui, HundredThousandPictures) {
  {
    Library library(home_.library());
    std::vector<PictureRecord> records(100000);
    for (size_t i = 0; i < records.size(); ++i) {
      records[i].path = "/nowhere/" + std::to_string(i) + ".png";
      records[i].prompt = (i % 1000 == 7 ? "a rare apple " : "a common picture ") + std::to_string(i);
      records[i].width = i % 3 ? 512 : 768, records[i].height = 512, records[i].created = 1e9 + static_cast<double>(i);
    }
    library.add_pictures(records);
  }
  const std::string report = (home_ / "report.json").string();
  expect_success(
      home_.run("wait idle\nview gallery\nwait text \"100 000 pictures\"\nwheel #picture/100000 -20\nkey End\nwait frames "
                "10\nkey Home\nwait frames 10\nkey Ctrl+F\ntype \"rare app\"\nwait text \"100 pictures\"\nwait seconds 1\nreport \"" +
                report + "\"\n"));
  std::ifstream file(report);
  const Json json = Json::parse(file);
  RecordProperty("open_ms", json["gallery_open_ms"].dump());
  std::printf("100 000 pictures: %s\n", json.dump().c_str());
  EXPECT_LT(json["gallery_open_ms"].get<double>(), 2000 * kSlowdown);   // 300 on a quiet machine
  EXPECT_LT(json["gallery_search_ms"].get<double>(), 500 * kSlowdown);  // 50 on a quiet machine
}

class QueueGui : public GalleryGui {};

TEST_F(QueueGui, PauseReorderCancelRetryAndDuplicate) {
  expect_success(home_.run(R"(wait idle
click #create/steps
type "2"
key Enter
key Ctrl+P
view queue
wait text "paused"
view create
key Ctrl+L
key Ctrl+A
type "job one"
key Ctrl+Enter
key Ctrl+A
type "job two"
key Ctrl+Enter
key Ctrl+A
type "job three"
key Ctrl+Shift+Enter
view queue
wait text "3 waiting"
expect text "until the queue is resumed"
drag #queue/row/2 #queue/row/3
wait frames 4
click "Cancel"
wait value #queue/row/2 "cancelled"
click "Retry"
wait value #queue/row/2 "queued"
click "Duplicate"
wait text "4 waiting"
)" + shot("queue") + R"(click "Resume"
wait idle
wait value #queue/row/1 "done"
wait value #queue/row/3 "done"
)" + shot("queue-done") + R"(click "Clear finished"
wait item "Pause"
wait gone #queue/row/1
)"));
}

TEST_F(QueueGui, AFailureIsToldInOneLine) {
  std::filesystem::create_directories(home_ / "config/linea");
  std::ofstream(home_.settings()) << R"({"version": 1, "output_folder": "/proc/nowhere", "form": {"prompt": "a red apple"}})";
  expect_success(
      home_.run("wait idle\nclick #create/steps\ntype \"1\"\nkey Enter\nclick \"Generate\"\nwait text \"A picture failed\"\nview "
                "queue\nwait value #queue/row/1 \"failed\"\nmove #queue/why\nwait item #tip\n" +
                shot("failed")));
}

TEST_F(QueueGui, GoesOnAfterBeingKilled) {
  std::ofstream(home_ / "test.script") << "wait idle\nclick #create/steps\ntype \"2\"\nkey Enter\nclick #create/count\ntype \"6\"\nkey "
                                          "Enter\nkey Ctrl+Enter\nwait picture 2\nwait seconds 60\n";
  const pid_t studio = home_.start({LINEA_STUDIO_PROGRAM, "--window", "1280x800", "--script", (home_ / "test.script").string()});
  for (int i = 0; i < 600; ++i) {
    usleep(100000);
    if (std::filesystem::exists(home_.library()) && Library(home_.library()).count_pictures({}) >= 2) break;
  }
  kill(studio, SIGKILL);
  home_.wait(studio);
  expect_success(home_.run(R"(wait idle
view queue
wait value #queue/row/1 "done"
right-click #queue/row/1
wait item "Open in viewer"
)"));
  Library library(home_.library());
  EXPECT_EQ(library.count_pictures({}), 6);
  EXPECT_TRUE(library.integrity_problems().empty());
}

}  // namespace
}  // namespace linea::test
