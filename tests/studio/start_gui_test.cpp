// Starting, ending, and what can go wrong there.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>

#include "tests/studio/gui.h"

namespace linea::test {
namespace {

class StartGui : public StudioTest {};

TEST_F(StartGui, NoDisplayIsOneSentenceAndStatus6) {
  const StudioOutcome outcome = home_.wait(home_.start({LINEA_STUDIO_PROGRAM}, {{"DISPLAY", ""}, {"WAYLAND_DISPLAY", ""}}));
  EXPECT_EQ(outcome.status, 6);
  EXPECT_NE(outcome.err.find("found no display"), std::string::npos) << outcome.err;
}

TEST_F(StartGui, NoOpenGl3IsOneSentenceAndStatus6) {
  const StudioOutcome outcome = home_.wait(home_.start({LINEA_STUDIO_PROGRAM}, {{"MESA_GL_VERSION_OVERRIDE", "2.1"}}));
  EXPECT_EQ(outcome.status, 6);
  EXPECT_NE(outcome.err.find("OpenGL 3"), std::string::npos) << outcome.err;
}

TEST_F(StartGui, TheCommandLineOpensIt) {
  std::ofstream(home_ / "test.script") << "wait idle\nquit\n";
  const StudioOutcome outcome = home_.wait(home_.start({LINEA_PROGRAM, "studio", "--script", (home_ / "test.script").string()}));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(home_.wait(home_.start({LINEA_PROGRAM, "studio", "--no-such-option"})).status, 2);
}

TEST_F(StartGui, ABrokenScriptNamesItsLine) {
  const StudioOutcome outcome = home_.run("wait idle\nexpect item \"No such thing\"\n");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.err.find("line 2: expected item No such thing"), std::string::npos) << outcome.err;
}

TEST_F(StartGui, FirstFrameAndIdle) {
  const std::string report = (home_ / "report.json").string();
  expect_success(home_.run("wait idle\nreport \"" + report + "\"\n"));
  std::ifstream file(report);
  const Json json = Json::parse(file);
  std::printf("start: %s\n", json.dump().c_str());
  EXPECT_LT(json["first_frame_ms"].get<double>(), 3000);  // 500 on a quiet machine
}

TEST_F(StartGui, TheSessionComesBack) {
  expect_success(home_.run("wait idle\ntheme light\nkey Ctrl+L\nkey Ctrl+A\ntype \"kept over the night\"\nview models\nwait frames 3\n"));
  expect_success(home_.run("wait idle\nwait item #models/path\nview create\nexpect value #create/prompt \"kept over the night\"\n"));
}

TEST_F(StartGui, ASecondStartHandsItsFilesOver) {
  Image image;
  image.width = image.height = 64;
  image.pixels.assign(64 * 64 * 3, 90);
  write_image(home_ / "handed.png", image, {.text = {{"parameters", "handed over\nSteps: 3, CFG scale: 2, Seed: 1, Size: 64x64"}}});
  std::ofstream(home_ / "test.script") << "wait idle\nwait value #create/prompt \"handed over\"\n";
  const pid_t first = home_.start({LINEA_STUDIO_PROGRAM, "--window", "1280x800", "--script", (home_ / "test.script").string()});
  for (int i = 0; i < 200 && !std::filesystem::exists(home_.library()); ++i) usleep(50000);
  sleep(1);
  const pid_t second = fork();
  if (second == 0) {
    for (const auto& [key, value] : std::map<std::string, std::string>{{"HOME", home_.path()},
                                                                       {"XDG_CONFIG_HOME", home_ / "config"},
                                                                       {"XDG_RUNTIME_DIR", home_.path()},
                                                                       {"DISPLAY", Display::name()}})
      setenv(key.c_str(), value.c_str(), 1);
    execl(LINEA_STUDIO_PROGRAM, LINEA_STUDIO_PROGRAM, (home_ / "handed.png").c_str(), nullptr);
    _exit(127);
  }
  int status = -1;
  waitpid(second, &status, 0);
  EXPECT_EQ(status, 0);
  expect_success(home_.wait(first));
}

TEST_F(StartGui, ALibraryOfANewerVersionIsLeftAlone) {
  std::ofstream(home_.library()) << "this is no database at all, but something that must not be lost";
  expect_success(home_.run("wait text \"cannot be used\"\n"));
  std::ifstream file(home_.library());
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "this is no database at all, but something that must not be lost");
}

}  // namespace
}  // namespace linea::test
