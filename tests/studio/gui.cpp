#include "tests/studio/gui.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace linea::test {
namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Xvfb tells the number of its display when it is ready, and ends with this program.
std::string start_display() {
  int ready[2];
  if (pipe(ready) != 0) return "";
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    close(ready[0]);
    const int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, 0), dup2(nothing, 1), dup2(nothing, 2);
    const std::string number = std::to_string(ready[1]);
    execlp("Xvfb", "Xvfb", "-displayfd", number.c_str(), "-screen", "0", "3840x2160x24", "-nolisten", "tcp", nullptr);
    _exit(127);
  }
  close(ready[1]);
  std::string number;
  pollfd wait{ready[0], POLLIN, 0};
  char c = 0;
  while (poll(&wait, 1, 20000) > 0 && read(ready[0], &c, 1) == 1 && c != '\n') number += c;
  close(ready[0]);
  return c == '\n' ? ":" + number : "";
}

}  // namespace

const std::string& Display::name() {
  static const std::string display = start_display();
  return display;
}

StudioHome::StudioHome() {
  std::string name = (fs::temp_directory_path() / "linea-studio-XXXXXX").string();
  folder_ = mkdtemp(name.data());
}

StudioHome::~StudioHome() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

pid_t StudioHome::start(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment) {
  std::map<std::string, std::string> variables = {{"HOME", folder_.string()},
                                                  {"XDG_CONFIG_HOME", (folder_ / "config").string()},
                                                  {"XDG_DATA_HOME", (folder_ / "data").string()},
                                                  {"XDG_CACHE_HOME", (folder_ / "cache").string()},
                                                  {"XDG_RUNTIME_DIR", folder_.string()},
                                                  {"LINEA_LIBRARY", library().string()},
                                                  {"DISPLAY", Display::name()},
                                                  {"LIBGL_ALWAYS_SOFTWARE", "1"},
                                                  {"TZ", "UTC"}};
  for (const auto& [key, value] : environment) variables[key] = value;
  const pid_t pid = fork();
  if (pid != 0) return pid;
  for (const auto& [key, value] : variables) setenv(key.c_str(), value.c_str(), 1);
  if (chdir(folder_.c_str()) != 0) _exit(127);  // whatever is typed as a folder lies in there
  if (!freopen((folder_ / "stdout").c_str(), "w", stdout) || !freopen((folder_ / "stderr").c_str(), "w", stderr)) _exit(127);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

StudioOutcome StudioHome::wait(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), content_of(folder_ / "stdout"), content_of(folder_ / "stderr")};
}

StudioOutcome StudioHome::run(const std::string& script, const std::vector<std::string>& arguments,
                              const std::map<std::string, std::string>& environment) {
  std::ofstream(folder_ / "test.script") << script;
  std::vector<std::string> command = {LINEA_STUDIO_PROGRAM};
  command.insert(command.end(), arguments.begin(), arguments.end());
  command.insert(command.end(), {"--script", (folder_ / "test.script").string()});
  return wait(start(command, environment));
}

fs::path screenshot(const std::string& name) {
  const char* wanted = std::getenv("LINEA_SCREENSHOTS");
  const fs::path folder = fs::absolute(wanted ? wanted : LINEA_SCREENSHOT_FOLDER);
  fs::create_directories(folder);
  return folder / (name + ".webp");
}

}  // namespace linea::test
