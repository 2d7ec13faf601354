#include "tokenizers/regex.h"

#include "tests/fuzz/fuzz.h"
#include "tokenizers/unicode/utf8.h"

// The input up to the first zero byte is the pattern, the rest the text.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return linea::fuzz::run([&] {
    const std::string input(reinterpret_cast<const char*>(data), size);
    const size_t cut = input.find('\0') == std::string::npos ? input.size() : input.find('\0');
    const linea::Regex regex(input.substr(0, cut), "input");
    const std::string text = linea::valid_utf8(std::string_view(input).substr(cut));
    const size_t end = regex.match(text, 0);
    if (end != linea::Regex::kNone && end > text.size()) std::abort();
  });
}
