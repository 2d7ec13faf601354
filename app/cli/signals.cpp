#include "app/cli/signals.h"

#include <signal.h>
#include <unistd.h>

namespace linea::cli {
namespace {

volatile sig_atomic_t received = 0;
volatile sig_atomic_t requeue = 0;

CancelToken& process_token() {
  static CancelToken token;
  return token;
}

void on_signal(int signal) {
  if (received != 0) _exit(128 + signal);
  received = signal;
  process_token().cancel();
  constexpr char kMessage[] = "\nstopping after this step (again to stop at once)\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
}

void on_requeue(int) { requeue = 1; }

}  // namespace

CancelToken install_signal_handlers() {
  CancelToken token = process_token();  // built before a handler can run
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return token;
}

void catch_requeue_signals() {
  struct sigaction action = {};
  action.sa_handler = on_requeue;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, nullptr);
  sigaction(SIGUSR2, &action, nullptr);
}

bool requeue_requested() { return requeue != 0; }

int cancelled_status() { return received == SIGTERM ? 143 : 130; }

}  // namespace linea::cli
