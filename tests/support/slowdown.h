// tests/support/slowdown.h: what limits of time are multiplied by, since instrumented code is slower.
#pragma once

namespace linea::test {

#if defined(__SANITIZE_THREAD__)
inline constexpr double kSlowdown = 5;
#elif defined(__SANITIZE_ADDRESS__)
inline constexpr double kSlowdown = 2;
#else
inline constexpr double kSlowdown = 1;
#endif

}  // namespace linea::test
