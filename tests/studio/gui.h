// tests/studio/gui.h: the studio in a real window on an X server without a screen, driven by scripts.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/image.h"
#include "core/json.h"
#include "tests/support/slowdown.h"

namespace linea::test {

// One X server a test program.
class Display {
 public:
  static const std::string& name();  // ":99"; empty when there is no Xvfb
};

struct StudioOutcome {
  int status = -1;
  std::string out, err;
};

// A home folder of its own: settings, library and pictures of one test.
class StudioHome {
 public:
  StudioHome();
  ~StudioHome();
  StudioHome(const StudioHome&) = delete;
  StudioHome& operator=(const StudioHome&) = delete;

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }
  std::filesystem::path library() const { return folder_ / "library.db"; }
  std::filesystem::path settings() const { return folder_ / "config" / "linea" / "studio.json"; }
  std::filesystem::path pictures() const { return folder_ / "Pictures" / "Linea"; }

  // Runs the script to its end. `arguments` before it.
  StudioOutcome run(const std::string& script, const std::vector<std::string>& arguments = {"--window", "1280x800", "--scale", "1"},
                    const std::map<std::string, std::string>& environment = {});
  // Starts any program in this home; pid.
  pid_t start(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment = {});
  StudioOutcome wait(pid_t pid);

 private:
  std::filesystem::path folder_;
};

// Where a test's pictures of the window go: the build folder, or $LINEA_SCREENSHOTS.
std::filesystem::path screenshot(const std::string& name);

class StudioTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (Display::name().empty()) GTEST_SKIP() << "there is no Xvfb";
  }
  void expect_success(const StudioOutcome& outcome) { EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err; }

  StudioHome home_;
};

}  // namespace linea::test
