// core/cancel.h: a flag that one thread (or a signal handler) sets and the working thread checks between steps.
#pragma once

#include <atomic>
#include <memory>

#include "core/error.h"

namespace linea {

// Copies share one flag. A default-constructed token can be cancelled too.
class CancelToken {
 public:
  CancelToken() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  void cancel() const noexcept { flag_->store(true, std::memory_order_relaxed); }  // async-signal-safe
  bool cancelled() const noexcept { return flag_->load(std::memory_order_relaxed); }
  void throw_if_cancelled() const {
    if (cancelled()) throw Error(ErrorKind::kCancelled, "stopped");
  }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

}  // namespace linea
