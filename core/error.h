// core/error.h: the one exception type of Linea.
//
// The world's mistakes (files, flags, prompts, memory) throw linea::Error; it is caught at the top of `main` and at the top of a
// worker. Programmer mistakes stop at LINEA_ASSERT in every build.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace linea {

enum class ErrorKind {
  kUsage,      // a flag, prompt or job that cannot be used; nothing was started
  kBadFile,    // unreadable, truncated or malformed input file that is not part of a model
  kModel,      // a model folder, checkpoint, config or tokenizer that is missing, corrupt or unsupported
  kMemory,     // the plan does not fit, or an allocation failed
  kDevice,     // a device is missing, lost, or reported a failure
  kIo,         // an output that cannot be written
  kCancelled,  // the user asked to stop
  kInternal,   // a bug in Linea
};

// Process exit status for an error: a documented contract (see docs/architecture.md, "Exit codes").
int exit_code(ErrorKind kind);

class Error : public std::runtime_error {
 public:
  // `what` is one line that names the thing, what was expected and what was found; `hint` one sentence the user can act on.
  Error(ErrorKind kind, const std::string& what, std::string hint = {}) : std::runtime_error(what), kind_(kind), hint_(std::move(hint)) {}

  ErrorKind kind() const { return kind_; }
  const std::string& hint() const { return hint_; }

 private:
  ErrorKind kind_;
  std::string hint_;
};

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace linea

#define LINEA_ASSERT(expression) ((expression) ? static_cast<void>(0) : ::linea::assertion_failed(#expression, __FILE__, __LINE__))
