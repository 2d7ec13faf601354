// tests/core/mutation.h: readers and damaged copies of good files.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>

#include "core/error.h"
#include "tests/support/mutated.h"

namespace linea::test {

// Calls `reader` with `count` damaged copies; anything but linea::Error fails the test.
template <class Reader> void expect_survives(const std::string& original, int count, uint32_t seed, Reader reader) {
  std::mt19937 random(seed);
  for (int i = 0; i < count; ++i) {
    const std::string damaged = mutated(original, random);
    try {
      reader(damaged);
    } catch (const Error& error) {
      ASSERT_NE(error.kind(), ErrorKind::kInternal) << error.what();
      ASSERT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    }
  }
}

}  // namespace linea::test
