#include <cstdlib>

#include "core/metadata.h"
#include "core/text.h"
#include "tests/fuzz/fuzz.h"

// Reads the input, and writes it as a prompt, which must come back unchanged when it is UTF-8.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return linea::fuzz::run([&] {
    const std::string text(reinterpret_cast<const char*>(data), size);
    linea::parse_infotext(text);
    const linea::Infotext infotext{text, text, {{"Steps", "1"}, {"Seed", text}, {"Size", "1x1"}}};
    const bool same = linea::parse_infotext(linea::format_infotext(infotext)) == infotext;
    if (linea::is_utf8(text) && !same) std::abort();
  });
}
