// app/engine/output_names.h: file names of pictures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace linea {

// The first words of a prompt as a file name: lower-case ASCII letters, digits and dashes, at most `limit` bytes; "picture" when empty.
std::string slug_of(const std::string& prompt, size_t limit = 40);

// Where picture `index` of `count` goes. A folder (existing, or with a trailing slash) gets `<slug>-<seed>.png`; a file name gets
// `-<index + 1>` before its extension when there are several; empty means the current folder.
std::filesystem::path output_path(const std::string& output, const std::string& prompt, int index, int count, uint64_t seed);

}  // namespace linea
