// core/cache_folder.h: where the program keeps what it can make again.
#pragma once

#include <filesystem>

namespace linea {

// $XDG_CACHE_HOME/linea (else ~/.cache/linea, else a folder in the temporary one); made when missing.
std::filesystem::path cache_folder();

}  // namespace linea
