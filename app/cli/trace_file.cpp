#include "app/cli/trace_file.h"

#include <cstring>

#include "core/safetensors.h"

namespace linea::cli {

void TraceFile::add(const std::string& name, const Tensor& value) {
  Tensor copy(value.shape(), value.dtype());
  std::memcpy(copy.raw(), value.raw(), static_cast<size_t>(value.bytes()));
  tensors_.emplace_back(name, copy);
}

void TraceFile::write() const {
  if (!enabled()) return;
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) throw Error(ErrorKind::kIo, "--trace: " + folder_ + ": " + error.message());
  write_safetensors(std::filesystem::path(folder_) / "trace.safetensors", tensors_);
}

}  // namespace linea::cli
