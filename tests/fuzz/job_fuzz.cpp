#include <cstdlib>
#include <string>

#include "app/engine/job.h"
#include "tests/fuzz/fuzz.h"

// A job as the library keeps it: what is read is written and read again the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return linea::fuzz::run([&] {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const std::string once = linea::to_json(linea::picture_job_from_json(text, "input"));
    if (linea::to_json(linea::picture_job_from_json(once, "again")) != once) std::abort();
  });
}
