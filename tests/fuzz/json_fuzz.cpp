#include "core/json.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return linea::fuzz::run([&] { linea::parse_json({reinterpret_cast<const char*>(data), size}, "input"); });
}
