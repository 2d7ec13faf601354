// app/cli/signals.h: Ctrl-C and SIGTERM as a cancel token.
#pragma once

#include "core/cancel.h"

namespace linea::cli {

// The first SIGINT or SIGTERM cancels the token, and says so; a second one ends the process at once. Returns the token of the process.
CancelToken install_signal_handlers();

// SIGUSR1 and SIGUSR2 mean: end what is begun, then leave the rest to the next run (a cluster's warning before its time limit).
void catch_requeue_signals();
bool requeue_requested();

// 130 or 143 after a signal, else 130: the exit status of a cancelled run.
int cancelled_status();

}  // namespace linea::cli
