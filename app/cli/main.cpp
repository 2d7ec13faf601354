#include <unistd.h>

#include <cstdlib>

#include "app/cli/commands.h"

// OpenMP's threads wait for each other by spinning, by default for so long that a busy machine makes a picture many times slower. The
// runtime reads the setting when it is loaded, hence before main: the program starts itself once more with it (under 2 ms).
static void restart_with_short_spinning(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") || std::getenv("OMP_WAIT_POLICY")) return;
  setenv("GOMP_SPINCOUNT", "10000", 1);
  execv("/proc/self/exe", argv);  // where this fails, the program runs on as it is
}

int main(int argc, char** argv) {
  restart_with_short_spinning(argv);
  return linea::cli::run(argc, argv);
}
