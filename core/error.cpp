#include "core/error.h"

namespace linea {

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
    case ErrorKind::kBadFile: return 2;
    case ErrorKind::kMemory: return 4;
    case ErrorKind::kModel: return 5;
    case ErrorKind::kDevice: return 6;
    case ErrorKind::kCancelled: return 130;
    case ErrorKind::kIo:
    case ErrorKind::kInternal: return 1;
  }
  return 1;
}

void assertion_failed(const char* expression, const char* file, int line) {
  throw Error(ErrorKind::kInternal,
              std::string("internal error: ") + expression + " does not hold (" + file + ":" + std::to_string(line) + ")");
}

}  // namespace linea
