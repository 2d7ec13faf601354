// Random events over all views, while pictures are made: nothing may crash, hang or stall.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "app/library/library.h"
#include "tests/studio/gui.h"

namespace linea::test {
namespace {

class MonkeyGui : public StudioTest {};

// $LINEA_MONKEY events (1500).
TEST_F(MonkeyGui, RandomEvents) {
  const char* wanted = std::getenv("LINEA_MONKEY");
  const std::string count = wanted ? wanted : "1500", report = (home_ / "report.json").string();
  std::filesystem::create_directories(home_ / "config/linea");
  std::ofstream(home_.settings()) << Json({{"version", 1},
                                           {"output_folder", home_.pictures().string()},
                                           {"form", {{"prompt", "a red apple"}, {"width", 256}, {"height", 256}, {"steps", 2}}}});
  expect_success(home_.run("wait idle\nkey Ctrl+Enter\nmonkey " + count + " 1\nreport \"" + report + "\"\n"));
  std::ifstream file(report);
  const Json json = Json::parse(file);
  std::printf("monkey: %s\n", json.dump().c_str());
  EXPECT_LT(json["p99_ms"].get<double>(), 100 * kSlowdown);  // 16 on a quiet machine
  EXPECT_TRUE(Library(home_.library()).integrity_problems().empty());
}

}  // namespace
}  // namespace linea::test
