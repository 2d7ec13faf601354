#include <sstream>
#include <string>

#include "app/engine/batch_input.h"
#include "tests/fuzz/fuzz.h"

// A list of pictures, in the form that the first byte says.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  return linea::fuzz::run([&] {
    std::istringstream stream(std::string(reinterpret_cast<const char*>(data + 1), size - 1));
    linea::BatchInput input;
    input.source = "input";
    input.dialect = static_cast<linea::BatchDialect>(data[0] % 4);
    linea::read_batch(stream, input);
  });
}
