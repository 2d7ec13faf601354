// app/studio/ui_guard.h: the thread that draws never waits. With the build option LINEA_UI_GUARD the program aborts, saying where, when
// it sleeps for more than 2 ms on a lock, a condition or a file; without it, these are empty.
#pragma once

namespace linea::studio {

// From now on the calling thread is watched, or no longer.
void watch_this_thread(bool on);

// While one lives, the thread may wait: for events of the window system, the graphics driver, and at start and end.
class AllowWaiting {
 public:
  AllowWaiting();
  ~AllowWaiting();
  AllowWaiting(const AllowWaiting&) = delete;
  AllowWaiting& operator=(const AllowWaiting&) = delete;
};

}  // namespace linea::studio
