// app/engine/published.h: an immutable value that one side replaces and the other reads without ever waiting.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>

namespace linea {

// publish() fills the slot after the current one and then makes it current, so a reader meets a locked slot only when it sleeps through
// several publications; it then takes the newer slot. Calls of publish() must not overlap.
template <class T> class Published {
 public:
  Published() : Published(std::make_shared<const T>()) {}
  explicit Published(std::shared_ptr<const T> first) { slots_[0].value = std::move(first); }

  void publish(std::shared_ptr<const T> value) {
    const size_t next = (current_.load(std::memory_order_relaxed) + 1) % slots_.size();
    {
      const std::lock_guard lock(slots_[next].mutex);
      slots_[next].value.swap(value);
    }
    current_.store(next, std::memory_order_release);
  }

  std::shared_ptr<const T> read() const {
    for (;;) {
      const Slot& slot = slots_[current_.load(std::memory_order_acquire)];
      if (!slot.mutex.try_lock()) continue;
      const std::lock_guard lock(slot.mutex, std::adopt_lock);
      return slot.value;
    }
  }

 private:
  struct Slot {
    mutable std::mutex mutex;
    std::shared_ptr<const T> value;
  };
  std::array<Slot, 4> slots_;
  std::atomic<size_t> current_{0};
};

}  // namespace linea
