#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input_file.h"
#include "tokenizers/hf_tokenizer.h"

// A tokenizer.json that loads also encodes and decodes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto path = linea::fuzz::input_file(data, size);
  if (path.empty()) return 0;
  return linea::fuzz::run([&] {
    const auto tokenizer = linea::load_hf_tokenizer(path, {});
    const auto ids = tokenizer->encode("It's  <|endoftext|> 42\n\n\u00e9\u4f60 \xff\U0001F600");
    tokenizer->decode(ids);
    for (const int32_t id : ids) tokenizer->token_bytes(id);
  });
}
