// dit/pipeline/denoise_state.h: a picture half denoised, as a value that can be kept in a file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace linea {

// Going on from a state gives the same bits as never having stopped.
struct DenoiseState {
  int step = 0;                 // finished steps
  Tensor latents;               // [1, h, w, C] f32 on the host
  std::vector<Tensor> history;  // the scheduler's: each like latents
};

// One safetensors file, written to a temporary name, synced and renamed. `fingerprint` says what the state is of (settings, model): a file
// with another fingerprint is refused. Throw kIo; kBadFile.
void write_denoise_state(const std::filesystem::path& path, const DenoiseState& state, const std::string& fingerprint);
DenoiseState read_denoise_state(const std::filesystem::path& path, const std::string& fingerprint);

}  // namespace linea
