// app/studio/picture_import.h: pictures that are already in a folder, as rows for the library. Waits for the disk.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "app/library/library.h"

namespace linea::studio {

// PNG, JPEG and WebP files of the folder and the folders below it, at most 100 000. What cannot be read is left out.
// Throws kBadFile for something that is no folder.
std::vector<PictureRecord> find_pictures(const std::filesystem::path& folder);
bool is_picture_name(const std::filesystem::path& path);   // by its extension
bool holds_pictures(const std::filesystem::path& folder);  // directly in it
std::optional<PictureRecord> describe_picture(const std::filesystem::path& path);

}  // namespace linea::studio
