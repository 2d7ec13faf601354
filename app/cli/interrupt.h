// app/cli/interrupt.h: Ctrl-C where it stops one piece of work and not the program.
#pragma once

#include <functional>

#include "core/cancel.h"

namespace linea::cli {

// While one lives, SIGINT cancels its token, a second SIGINT ends the process with 130, and SIGTERM cancels and is remembered.
class Interruptible {
 public:
  Interruptible();
  ~Interruptible();
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;
  const CancelToken& token() const { return token_; }

 private:
  CancelToken token_;
};

bool terminated();  // a SIGTERM has come: the program should save and end with 143

// Runs a command; where it was cancelled, returns the status that says by what.
int with_status_of_signals(const std::function<int()>& command);

}  // namespace linea::cli
