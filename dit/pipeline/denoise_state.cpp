#include "dit/pipeline/denoise_state.h"

#include <charconv>
#include <cstring>

#include "core/safetensors.h"

namespace linea {
namespace {

constexpr const char* kFormat = "linea.denoise/1";
constexpr int kMaxSteps = 1000;

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& why) {
  throw Error(ErrorKind::kBadFile, path.string() + ": not a checkpoint of this picture: " + why);
}

// A copy that does not depend on the mapped file.
Tensor copy_of(const Tensor& tensor) {
  Tensor copy(tensor.shape(), tensor.dtype());
  std::memcpy(copy.raw(), tensor.raw(), static_cast<size_t>(tensor.bytes()));
  return copy;
}

std::string history_name(size_t i) { return "history." + std::to_string(i); }

}  // namespace

void write_denoise_state(const std::filesystem::path& path, const DenoiseState& state, const std::string& fingerprint) {
  std::vector<std::pair<std::string, Tensor>> tensors = {{"latents", state.latents}};
  for (size_t i = 0; i < state.history.size(); ++i) tensors.emplace_back(history_name(i), state.history[i]);
  write_safetensors(path, tensors, {{"format", kFormat}, {"fingerprint", fingerprint}, {"step", std::to_string(state.step)}});
}

DenoiseState read_denoise_state(const std::filesystem::path& path, const std::string& fingerprint) {
  try {
    const SafetensorsFile file(path);
    const auto text = [&](const char* key) {
      const auto found = file.metadata().find(key);
      return found == file.metadata().end() ? std::string() : found->second;
    };
    if (text("format") != kFormat) refuse(path, "another format");
    if (text("fingerprint") != fingerprint) refuse(path, "other settings or another model");
    DenoiseState state;
    const std::string step = text("step");
    const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), state.step);
    if (error != std::errc() || end != step.data() + step.size() || state.step < 1 || state.step > kMaxSteps) refuse(path, "no step");
    const auto take = [&](const std::string& name) {
      const auto found = file.tensors().find(name);
      if (found == file.tensors().end()) return Tensor();
      if (found->second.dtype() != DType::kF32 || found->second.rank() != 4) refuse(path, name + " is no map of latents");
      return copy_of(found->second);
    };
    state.latents = take("latents");
    if (!state.latents.defined()) refuse(path, "no latents");
    for (size_t i = 0;; ++i) {
      const Tensor past = take(history_name(i));
      if (!past.defined()) return state;
      if (past.shape() != state.latents.shape()) refuse(path, history_name(i) + " has another shape than the latents");
      state.history.push_back(past);
    }
  } catch (const Error& e) {
    throw Error(ErrorKind::kBadFile, e.what(), e.hint());
  }
}

}  // namespace linea
