#include "lm/grammar/json_schema.h"

#include "lm/grammar/grammar.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace linea;
  return fuzz::run([&] { parse_gbnf(json_schema_to_gbnf({reinterpret_cast<const char*>(data), size}, "input"), "input"); });
}
