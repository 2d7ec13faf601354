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
Action add_chat(CLI::App& app);
Action add_complete(CLI::App& app);
Action add_perplexity(CLI::App& app);
Action add_batch(CLI::App& app);
Action add_verify(CLI::App& app);
Action add_reconstruct(CLI::App& app);
Action add_info(CLI::App& app);
Action add_plan(CLI::App& app);
Action add_bench(CLI::App& app);
Action add_convert(CLI::App& app);
Action add_doctor(CLI::App& app);
Action add_studio(CLI::App& app);

}  // namespace linea::cli
