#include "kernels/diagnosis.h"

#include <cstdlib>
#include <fstream>

#include "core/error.h"
#include "core/threads.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/onednn.h"

namespace linea {
namespace {

// The first "model name" of /proc/cpuinfo; processors of other makers than Intel and AMD do not have the line.
std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

Finding instruction_set() {
  Finding finding{"cpu kernels", "", ""};
  try {
    finding.fact = cpu::chosen_kernels().name;
  } catch (const Error& error) {
    return {"cpu kernels", "unusable", std::string(error.what()) + "; " + error.hint()};
  }
  std::string names;
  for (const cpu::Kernels* table : cpu::available_kernels()) names += (names.empty() ? "" : ", ") + std::string(table->name);
  const char* wanted = std::getenv("LINEA_ISA");
  finding.reason = wanted && *wanted ? "LINEA_ISA asks for it; this processor runs " + names : "the fastest of " + names;
  return finding;
}

}  // namespace

std::vector<Finding> diagnose_cpu() {
  const bool amx = cpu::onednn::has_bf16_matrices();
  return {{"processor", processor_name() + ", " + std::to_string(thread_count()) + " threads", "--threads sets another number"},
          instruction_set(),
          {"oneDNN", cpu::onednn::version(), "matrix products and convolutions on the processor"},
          {"cpu precision", amx ? "bf16" : "fp32",
           amx ? "AMX multiplies bf16 matrices several times as fast as fp32" : "no AMX here: bf16 is kept for --dtype bf16"}};
}

std::vector<Finding> diagnose_kernels() {
  std::vector<Finding> findings = diagnose_cpu();
  const std::vector<Finding> cuda = diagnose_cuda();
  findings.insert(findings.end(), cuda.begin(), cuda.end());
  return findings;
}

#if !defined(LINEA_CUDA)
std::vector<Finding> diagnose_cuda() { return {{"CUDA", "not in this build", "LINEA_CUDA=auto ./linea builds it where nvcc is"}}; }
#endif

}  // namespace linea
