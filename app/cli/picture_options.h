// app/cli/picture_options.h: what a picture can be told on a command line, for the subcommands that make pictures.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "app/cli/options.h"
#include "app/engine/picture_settings.h"

namespace linea::cli {

struct PictureOptions {
  std::string negative, size, bins = "auto", steps = "20", guidance = "4.5", scheduler = "auto", shift, noise = "cpu", instruction;
  std::string softcap = "on", memory = "0";
  bool joint_noise = false, no_metadata = false, no_library = false;

  void add_to(CLI::App& command);
  // Everything but prompt, seed and count. Throws kUsage.
  PictureSettings settings(const RunOptions& run) const;
  int64_t memory_bytes(Device device) const;  // of each device; 0 = what is free
};

}  // namespace linea::cli
