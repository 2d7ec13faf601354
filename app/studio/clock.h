// app/studio/clock.h: time in seconds.
#pragma once

#include <chrono>

namespace linea::studio {

// For durations.
inline double now_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
// Since 1970.
inline double clock_seconds() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

}  // namespace linea::studio
