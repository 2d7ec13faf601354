#include "app/cli/commands.h"

int main(int argc, char** argv) { return linea::cli::run(argc, argv); }
