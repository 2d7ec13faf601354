// The viewer in a real window.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

#include "app/library/library.h"
#include "tests/studio/gui.h"

namespace linea::test {
namespace {

std::string shot(const std::string& name) { return "screenshot \"" + screenshot(name).string() + "\"\n"; }

class ViewerGui : public StudioTest {
 protected:
  // Red rises to the right, green downwards.
  std::string make(const std::string& name, int64_t side, uint8_t blue) {
    Image image;
    image.width = image.height = side;
    image.pixels.resize(static_cast<size_t>(side * side * 3));
    for (int64_t y = 0; y < side; ++y) {
      for (int64_t x = 0; x < side; ++x) {
        uint8_t* p = image.pixels.data() + (y * side + x) * 3;
        p[0] = static_cast<uint8_t>(x * 255 / side), p[1] = static_cast<uint8_t>(y * 255 / side), p[2] = blue;
      }
    }
    write_image(home_ / name, image, {});
    return (home_ / name).string();
  }
};

TEST_F(ViewerGui, ZoomFitActualPixelsAndValues) {
  const std::string a = make("a.png", 1024, 60);
  const std::filesystem::path seen = home_ / "seen.png";
  expect_success(home_.run("wait idle\ndrop \"" + a +
                           "\"\nwait text \"1024 × 1024\"\nkey 1\nwait text \"100 %\"\nmove #viewer/picture\nwait text \"127 126 "
                           "60\"\nwheel #viewer/picture 4\nwait text \"207 %\"\nwait text \"127 12\"\n" +
                           shot("viewer") + "screenshot \"" + seen.string() + "\"\nkey F\nwait frames 2\nexpect text \"1024 × 1024\"\n"));
  // The middle of the picture is in the middle of its area: what is on the screen is what the status says.
  const Image window = read_image(seen);
  int64_t best = 1000;
  for (int64_t y = 300; y < 500; ++y) {
    for (int64_t x = 500; x < 900; ++x) {
      const uint8_t* p = window.pixels.data() + (y * window.width + x) * 3;
      best = std::min<int64_t>(best, std::abs(p[0] - 127) + std::abs(p[1] - 127) + std::abs(p[2] - 60));
    }
  }
  EXPECT_LE(best, 3);
}

TEST_F(ViewerGui, CompareSliderAndDifference) {
  const std::string a = make("a.png", 800, 20), b = make("b.png", 800, 60);
  expect_success(home_.run("wait idle\ndrop \"" + a + "\"\nwait text \"800 × 800\"\nwait idle\ndrop \"" + b +
                           "\"\nwait idle\nwait frames 3\nkey C\nwait frames 3\n" + shot("compare") +
                           "key C\nkey D\nwait idle\nwait frames 3\n" + shot("difference")));
}

// Two pictures of the library: the file of one is gone, the other is deleted in the window.
TEST_F(ViewerGui, WhatIsGoneIsToldAndWhatIsDeletedIsLeft) {
  Library library(home_.library());
  for (const char* name : {"kept", "gone", "deleted"}) {
    PictureRecord record;
    record.path = make(std::string(name) + ".png", 64, 60);
    record.prompt = std::string("a picture that is ") + name;
    record.width = record.height = 64, record.created = 1.7e9 + static_cast<double>(library.count_pictures());
    library.add_picture(record);
  }
  std::filesystem::remove(home_ / "gone.png");
  expect_success(home_.run(R"(wait idle
click "a picture that is gone"
wait text "This picture cannot be shown"
wait text "gone.png"
)" + shot("viewer-gone") + R"(click "a picture that is deleted"
wait text "64 × 64"
expect value #viewer/picture ")" +
                           (home_ / "deleted.png").string() + R"("
click "Delete"
wait gone "a picture that is deleted"
wait text "This picture cannot be shown"
click "a picture that is gone"
click "Delete"
wait value #viewer/picture ")" +
                           (home_ / "kept.png").string() + R"("
wait item #details/delete
click "Delete"
wait gone #details/delete
wait item #create/empty
)"));
}

TEST_F(ViewerGui, AnEightThousandPictureOpensWithoutAStall) {
  const std::string big = make("big.png", 8192, 90), report = (home_ / "report.json").string();
  const auto start = std::chrono::steady_clock::now();
  expect_success(
      home_.run("wait idle\ndrop \"" + big +
                "\"\nwait text \"8192 × 8192\"\nwait idle\nwait frames 20\nkey 1\nwait frames 10\ndrag #viewer/picture 300 200\nwheel "
                "#viewer/picture -5\nwait frames 10\nreport \"" +
                report + "\"\n"));
  std::ifstream file(report);
  const Json json = Json::parse(file);
  std::printf("8192²: whole run %.1f s, frames %s\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
              json.dump().c_str());
  EXPECT_LT(json["first_view_ms"].get<double>(), 2000 * kSlowdown);  // 500 on a quiet machine
  EXPECT_LT(json["p99_ms"].get<double>(), 100 * kSlowdown);
}

}  // namespace
}  // namespace linea::test
