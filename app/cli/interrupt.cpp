#include "app/cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

namespace linea::cli {
namespace {

const CancelToken* current = nullptr;  // changed only while both signals are blocked
volatile sig_atomic_t interrupts = 0, terminations = 0;

void on_interrupt(int signal) {
  volatile sig_atomic_t& received = signal == SIGTERM ? terminations : interrupts;
  if (received != 0) _exit(128 + signal);
  received = 1;
  if (current) current->cancel();
}

// Makes `token` the one that signals cancel; the handlers are those of the system where there is none.
void install(const CancelToken* token) {
  sigset_t both, before;
  sigemptyset(&both);
  sigaddset(&both, SIGINT);
  sigaddset(&both, SIGTERM);
  sigprocmask(SIG_BLOCK, &both, &before);
  current = token;
  interrupts = 0;
  struct sigaction action = {};
  if (token) {
    action.sa_handler = on_interrupt;
  } else {
    action.sa_handler = SIG_DFL;
  }
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  sigprocmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

Interruptible::Interruptible() { install(&token_); }
Interruptible::~Interruptible() { install(nullptr); }

bool terminated() { return terminations != 0; }

int with_status_of_signals(const std::function<int()>& command) {
  try {
    const int status = command();
    return terminated() ? 128 + SIGTERM : status;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kCancelled) throw;
    return 128 + (terminated() ? SIGTERM : SIGINT);
  }
}

}  // namespace linea::cli
