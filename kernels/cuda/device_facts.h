// kernels/cuda/device_facts.h: what kernels are chosen by, asked of the driver once for every device.
#pragma once

#include <cstdint>

namespace linea::cuda {

// Whether kernels with Hopper's own instructions run there: compute capability 9.0, and code for sm_90a in this program.
bool is_hopper(int device);
int processors_of(int device);        // multiprocessors
int64_t shared_bytes_of(int device);  // of shared memory that a block can ask for
double memory_rate_of(int device);    // bytes in a cycle of the processors at most; 0: not known

}  // namespace linea::cuda
