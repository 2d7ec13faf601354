// app/studio/ui_queue.h: what other threads want done on the drawing thread. post() may be called anywhere; drain() never waits: while
// another thread is posting, the work comes with the next frame.
#pragma once

#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace linea::studio {

class UiQueue {
 public:
  explicit UiQueue(std::function<void()> wake) : wake_(std::move(wake)) {}

  void post(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      incoming_.push_back(std::move(work));
    }
    wake_();
  }

  // Runs what has arrived, for about `seconds`; true when something is left. An exception passes to the caller, the rest stays.
  bool drain(double seconds);
  long done() const { return done_; }  // works so far; drawing thread

 private:
  std::function<void()> wake_;
  std::mutex mutex_;
  std::vector<std::function<void()>> incoming_, pending_;
  long done_ = 0;
};

}  // namespace linea::studio
