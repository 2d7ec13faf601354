// linea studio: opens the desktop app, a program of its own beside this one, so that the command line loads no graphics library.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "app/cli/commands.h"
#include "core/error.h"

namespace linea::cli {
namespace {

// Becomes the studio; returns only by throwing.
int become_studio(const std::vector<std::string>& arguments) {
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "linea-studio";
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  const int reason = errno;
  if (reason == ENOENT)
    throw Error(ErrorKind::kUsage, "this build has no studio",
                "./linea studio installs what it needs and builds it; or configure with -DLINEA_STUDIO=ON");
  throw Error(ErrorKind::kIo, program.string() + " cannot be started: " + std::strerror(reason));
}

}  // namespace

Action add_studio(CLI::App& app) {
  CLI::App* command = app.add_subcommand("studio", "Open the desktop app");
  command->prefix_command();  // everything that follows is the studio's
  command->set_help_flag();
  return [command] { return become_studio(command->remaining()); };
}

}  // namespace linea::cli
