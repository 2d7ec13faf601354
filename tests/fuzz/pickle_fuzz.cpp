#include "core/pickle.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return linea::fuzz::run([&] { linea::Pickle(std::as_bytes(std::span(data, size)), "input"); });
}
