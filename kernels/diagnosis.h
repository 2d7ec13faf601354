// kernels/diagnosis.h: what computes here, and why it and not something else.
#pragma once

#include <string>
#include <vector>

namespace linea {

struct Finding {
  std::string subject;  // "processor", "cuda:0", …
  std::string fact;     // one line
  std::string reason;   // why it is so, or what would change it; may be empty
};

// The processor and its kernels, then CUDA and its devices. Never throws for a device that fails: that is a finding.
std::vector<Finding> diagnose_kernels();

// The parts of it.
std::vector<Finding> diagnose_cpu();
std::vector<Finding> diagnose_cuda();

}  // namespace linea
