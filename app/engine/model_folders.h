// app/engine/model_folders.h: where models are found.
#pragma once

#include <filesystem>
#include <string>

namespace linea {

// The folder of files that ship with Linea: $LINEA_ASSETS, else `assets` beside or above the program, else the source tree's.
std::filesystem::path assets_folder();

// A model by path, by the name of a built-in one ("" = the default picture model), or as "random:NAME" (dit/pipeline/model_source.h), which
// is given back as it is. Throws kModel when there is none, naming the
// built-in models.
std::filesystem::path find_picture_model(const std::string& name_or_path);

}  // namespace linea
