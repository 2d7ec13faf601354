// core/finite.h: whether values are numbers, which damaged weights do not give.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

namespace linea {

inline bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

}  // namespace linea
