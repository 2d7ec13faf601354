// Starting, ending, and what can go wrong there.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <sstream>

#include "app/library/library.h"
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
  EXPECT_LT(json["first_frame_ms"].get<double>(), 3000 * kSlowdown);  // 500 on a quiet machine
}

// Seconds of processor time that a process has used.
double processor_seconds(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text(std::istreambuf_iterator<char>(file), {});
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string field;
  for (int i = 0; i < 11; ++i) fields >> field;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// As a person starts it, without a script, which would draw without end.
TEST_F(StartGui, IdleCostsNothingAndATerminationSignalClosesIt) {
  const pid_t studio = home_.start({LINEA_STUDIO_PROGRAM, "--window", "1280x800"});
  double last = -1;
  for (int i = 0; i < 60 && processor_seconds(studio) - last > 0.02; ++i) last = processor_seconds(studio), usleep(500000);  // has settled
  const double before = processor_seconds(studio);
  sleep(4);
  const double share = (processor_seconds(studio) - before) / 4;
  std::printf("idle: %.2f %% of a core\n", 100 * share);
  EXPECT_LT(share, 0.03);  // 0.01 on a quiet machine
  kill(studio, SIGTERM);
  EXPECT_EQ(home_.wait(studio).status, 128 + SIGTERM);
  EXPECT_TRUE(std::filesystem::exists(home_.settings()));
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

TEST_F(StartGui, AFileThatIsNoLibraryIsLeftAlone) {
  std::ofstream(home_.library()) << "this is no database at all, but something that must not be lost";
  expect_success(home_.run("wait text \"cannot be used\"\n"));
  std::ifstream file(home_.library());
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "this is no database at all, but something that must not be lost");
}

TEST_F(StartGui, ALibraryOfANewerVersionIsLeftAlone) {
  Library(home_.library()).set_setting("kept", "yes");
  {
    std::fstream file(home_.library(), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(63);  // the last byte of SQLite's user_version
    file.put(99);
  }
  const auto bytes = std::filesystem::file_size(home_.library());
  expect_success(home_.run("wait text \"cannot be used\"\nclick \"Details\"\nwait text \"newer\"\n"));
  EXPECT_EQ(std::filesystem::file_size(home_.library()), bytes);
}

}  // namespace
}  // namespace linea::test
