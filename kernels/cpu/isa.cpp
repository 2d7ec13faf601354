#include "kernels/cpu/isa.h"

#include <cstdlib>
#include <string>

#include "core/error.h"

namespace linea::cpu {

#if defined(__x86_64__)
namespace v2 {
const Kernels& kernels();
}
namespace avx2 {
const Kernels& kernels();
}
namespace avx512 {
const Kernels& kernels();
}

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> tables = {&v2::kernels()};
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (has_avx2) tables.push_back(&avx2::kernels());
  if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    tables.push_back(&avx512::kernels());
  }
  return tables;
}
#else
namespace generic {
const Kernels& kernels();
}

std::vector<const Kernels*> available_kernels() { return {&generic::kernels()}; }
#endif

const Kernels& chosen_kernels() {
  const std::vector<const Kernels*> tables = available_kernels();
  const char* wanted = std::getenv("LINEA_ISA");
  if (!wanted || !*wanted) return *tables.back();
  std::string names;
  for (const Kernels* table : tables) {
    if (std::string(wanted) == table->name) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  throw Error(ErrorKind::kUsage, "LINEA_ISA: '" + std::string(wanted) + "' is not available", "this processor runs " + names);
}

}  // namespace linea::cpu
