// app/engine/abandoned.h: temporary files that a killed process left behind.
#pragma once

#include <filesystem>
#include <vector>

namespace linea {

// Removes "<name>.<process>-<number>.part" (core/atomic_file.h) beside each target. Only for targets that nobody else may be writing.
void remove_abandoned_parts(const std::vector<std::filesystem::path>& targets);

}  // namespace linea
