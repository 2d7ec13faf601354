#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input_file.h"
#include "tokenizers/rwkv_world.h"

// Any bytes come back from a vocabulary that loads.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto path = linea::fuzz::input_file(data, size);
  if (path.empty()) return 0;
  return linea::fuzz::run([&] {
    const linea::RwkvWorldTokenizer tokenizer = linea::RwkvWorldTokenizer::load(path);
    const std::string text(reinterpret_cast<const char*>(data), size < 1000 ? size : 1000);
    if (tokenizer.decode(tokenizer.encode(text)) != text) std::abort();
  });
}
