#include "app/studio/ui_queue.h"

#include <chrono>

namespace linea::studio {

bool UiQueue::drain(double seconds) {
  bool locked_out = false;
  {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    locked_out = !lock.owns_lock();
    if (!locked_out) {
      for (auto& work : incoming_) pending_.push_back(std::move(work));
      incoming_.clear();
    }
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!pending_.empty() && std::chrono::steady_clock::now() < end) {
    const std::function<void()> work = std::move(pending_.front());
    pending_.erase(pending_.begin());
    ++done_;
    work();
  }
  return locked_out || !pending_.empty();
}

}  // namespace linea::studio
