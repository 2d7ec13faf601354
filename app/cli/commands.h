// app/cli/commands.h: the subcommands of the `linea` program.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace linea::cli {

// Runs the program: parses, dispatches, prints errors. Returns the exit status (docs/architecture.md, "Exit codes").
int run(int argc, const char* const* argv);

// Each adds its subcommand to `app` and returns what to run when it was chosen.
using Action = std::function<int()>;
Action add_generate(CLI::App& app);
Action add_reconstruct(CLI::App& app);
Action add_info(CLI::App& app);
Action add_bench(CLI::App& app);
Action add_doctor(CLI::App& app);

}  // namespace linea::cli
