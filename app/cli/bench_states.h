// app/cli/bench_states.h: `linea bench context` and `linea bench states`: what a text's length and a state's size cost.
#pragma once

#include <optional>
#include <string>

#include "core/device.h"
#include "core/dtype.h"

namespace linea::cli {

// Reads random tokens up to `tokens` and prints, at every power of two from 1024 on, the time a token takes to read and to decode there,
// and the memory of the process.
int bench_context(const std::string& model, Device device, std::optional<DType> dtype, int64_t tokens, bool json);

// For every published size of RWKV and Mamba, with random numbers in the state: the state's bytes, the time to copy it (a branch), to go
// back in a conversation, and to save and load a conversation with one state.
int bench_states(bool json);

}  // namespace linea::cli
