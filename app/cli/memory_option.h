// app/cli/memory_option.h: --vram, how much of a device's memory a command may use.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "core/device.h"

namespace linea::cli {

void add_vram_option(CLI::App& command, std::string& value);  // --vram, and its older name --memory

// "8GiB", "500MB", "0.5GB" or bytes. Throws kUsage.
int64_t parse_bytes(const std::string& option, const std::string& text);

// Bytes of `device` that `text` allows: an amount, "75%" of what is free there, or "0" for all that is free. Throws kUsage; kDevice when it
// takes a device that is not here to tell.
int64_t vram_bytes(const std::string& text, Device device);

}  // namespace linea::cli
