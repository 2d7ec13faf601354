#include "core/image.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return linea::fuzz::run([&] { linea::decode_image({data, size}, "input"); });
}
