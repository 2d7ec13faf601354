// app/studio/frame_times.h: processor time of the drawing thread for each frame, without the graphics driver and the wait for the screen.
#pragma once

#include <algorithm>
#include <vector>

namespace linea::studio {

class FrameTimes {
 public:
  void add(double seconds) { seconds_.push_back(static_cast<float>(seconds)); }
  void reset() { seconds_.clear(); }
  size_t count() const { return seconds_.size(); }
  // 0 to 1; 0 when there are none.
  double quantile(double part) const {
    if (seconds_.empty()) return 0;
    std::vector<float> sorted = seconds_;
    const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(part * static_cast<double>(sorted.size() - 1));
    std::nth_element(sorted.begin(), at, sorted.end());
    return *at;
  }

 private:
  std::vector<float> seconds_;
};

}  // namespace linea::studio
