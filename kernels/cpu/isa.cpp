#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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
const Kernels& kernels_of_bytes();
}  // namespace avx512

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> tables = {&v2::kernels()};
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (has_avx2) tables.push_back(&avx2::kernels());
  if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    tables.push_back(&avx512::kernels());
    if (__builtin_cpu_supports("avx512vnni")) tables.push_back(&avx512::kernels_of_bytes());
  }
  return tables;
}

namespace {

bool has_tiles() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kTilesOfBf16 = (1u << 24) | (1u << 22), kVectorsOfBf16 = 1u << 5;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (edx & kTilesOfBf16) != kTilesOfBf16) return false;
  if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) || !(eax & kVectorsOfBf16)) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // the kernel keeps 8 KB more for each thread of a process that asks
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

const TileKernels* chosen_tiles() {
  static const bool present = has_tiles();
  return present && chosen_kernels().lanes == 16 ? &amx::tile_kernels() : nullptr;
}
#else
namespace generic {
const Kernels& kernels();
}

std::vector<const Kernels*> available_kernels() { return {&generic::kernels()}; }

const TileKernels* chosen_tiles() { return nullptr; }
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
