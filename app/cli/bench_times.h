// app/cli/bench_times.h: how long something takes, for the suites that time whole calls.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

namespace linea::cli {

// Wall time of one call.
inline double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The upper one of an even number of values, of which there is at least one.
inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace linea::cli
