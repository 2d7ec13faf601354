// linea-studio: the desktop app, started by `linea studio`.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "app/library/library.h"
#include "app/studio/studio.h"
#include "core/error.h"
#include "core/threads.h"

namespace {

using namespace linea;
using namespace linea::studio;

struct Arguments {
  StudioOptions studio;
  std::string settings, size;
  double scale = 0;
};

void parse_window_size(const std::string& text, StudioOptions& options) {
  char rest = 0;
  if (std::sscanf(text.c_str(), "%dx%d%c", &options.width, &options.height, &rest) != 2 || options.width < 640 || options.height < 480 ||
      options.width > 16384 || options.height > 16384)
    throw Error(ErrorKind::kUsage, "--window " + text + ": expected WIDTHxHEIGHT, at least 640x480");
}

int open_studio(Arguments& a, double started) {
  a.studio.settings = a.settings.empty() ? default_settings_path() : std::filesystem::path(a.settings);
  a.studio.library = default_library_path();
  if (!a.size.empty()) parse_window_size(a.size, a.studio);
  if (a.scale != 0) {
    if (!(a.scale >= 0.5 && a.scale <= 8)) throw Error(ErrorKind::kUsage, "--scale: expected 0.5 to 8");
    a.studio.scale = a.scale;
  }
  if (a.studio.script.empty() && Instance::hand_over(instance_socket(a.studio.settings), a.studio.files)) return 0;
  Studio studio(std::move(a.studio), started);
  return studio.run();
}

}  // namespace

int main(int argc, char** argv) {
  restart_with_short_spinning(argv);
  const double started = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  Arguments arguments;
  CLI::App app{"Linea Studio: pictures and chat in a window"};
  app.name("linea studio");
  app.add_option("files", arguments.studio.files, "pictures and models to open");
  app.add_option("--script", arguments.studio.script, "act by this script instead of mouse and keyboard, then quit")->type_name("FILE");
  app.add_option("--settings", arguments.settings, "settings file; default: ~/.config/linea/studio.json")->type_name("FILE");
  app.add_option("--window", arguments.size, "size of the window")->type_name("WxH");
  app.add_option("--scale", arguments.scale, "size of everything; default: the display's")->type_name("X");
  try {
    app.parse(argc, argv);
    return open_studio(arguments, started);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "linea: %s\nsee linea studio --help\n", error.what());
    return exit_code(ErrorKind::kUsage);
  } catch (const Error& error) {
    std::fprintf(stderr, "linea: %s%s%s\n", error.what(), error.hint().empty() ? "" : "\n  ", error.hint().c_str());
    return exit_code(error.kind());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "linea: %s\n", error.what());
    return exit_code(ErrorKind::kInternal);
  }
}
