// app/engine/denoising_places.h: how many pictures may be in their steps at a time. The others that are in progress have their text read or
// their latents decoded meanwhile, so that the steps, which take most of a picture's time, follow each other without a pause.
//
// Thread rule: any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "core/cancel.h"

namespace linea {

class DenoisingPlaces {
 public:
  explicit DenoisingPlaces(int places) : free_(places), places_(places) {}

  void set(int places) {
    const std::lock_guard lock(mutex_);
    free_ += places - places_;
    places_ = places;
    changed_.notify_all();
  }

  // Waits for a place, which is given back with what is returned. Throws kCancelled.
  std::shared_ptr<void> take(const CancelToken& cancel) {
    constexpr auto kLook = std::chrono::milliseconds(20);  // at the token
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, kLook, [this] { return free_ > 0; })) cancel.throw_if_cancelled();
    --free_;
    return {this, [](DenoisingPlaces* places) {
              const std::lock_guard giving(places->mutex_);
              ++places->free_;
              places->changed_.notify_one();
            }};
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int free_, places_;  // free_ is negative while more are taken than there now are
};

}  // namespace linea
