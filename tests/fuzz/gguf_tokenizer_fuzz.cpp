#include "tokenizers/gguf_tokenizer.h"

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input_file.h"

// A tokenizer that loads also encodes and decodes. (Whole models: tests/lm/hostile_test.cpp.)
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto path = linea::fuzz::input_file(data, size);
  if (path.empty()) return 0;
  return linea::fuzz::run([&] {
    const auto tokenizer = linea::gguf_tokenizer(linea::GgufFile(path));
    if (!tokenizer) return;
    const auto ids = tokenizer->encode("It's  42\n\n\u00e9\u4f60 \xff\U0001F600");
    tokenizer->decode(ids);
    for (const int32_t id : ids) tokenizer->token_bytes(id);
  });
}
