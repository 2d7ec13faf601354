// cmake/version.h: which Linea this is (target linea_version).
#pragma once

namespace linea {

extern const char* const kVersion;  // "0.1.0"
extern const char* const kCommit;   // what `git describe` said when the build was configured, "" outside a git checkout

}  // namespace linea
