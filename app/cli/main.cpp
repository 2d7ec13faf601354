#include "app/cli/commands.h"
#include "core/threads.h"

int main(int argc, char** argv) {
  linea::restart_with_short_spinning(argv);
  return linea::cli::run(argc, argv);
}
