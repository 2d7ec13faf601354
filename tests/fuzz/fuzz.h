// tests/fuzz/fuzz.h: linea::Error is the only exception a reader may throw on any input, and never as a bug of ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "core/error.h"

namespace linea::fuzz {

template <class Reader> int run(Reader reader) {
  try {
    reader();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kInternal) std::abort();
  }
  return 0;
}

}  // namespace linea::fuzz
