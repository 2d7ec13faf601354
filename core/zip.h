// core/zip.h: the members of a zip archive that stores them as they are (no compression), as views of the archive's bytes.
//
// Compressed and encrypted members, archives of many parts, repeated names and members that overlap are refused, so nothing is ever
// inflated and the views together are no larger than the archive. Errors are kModel and begin with `file`.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

namespace linea {

std::map<std::string, std::span<const std::byte>> stored_members(std::span<const std::byte> archive, const std::string& file);

}  // namespace linea
