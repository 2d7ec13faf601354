#include "app/cli/trace_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/atomic_file.h"
#include "core/safetensors.h"

namespace linea::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "trace.safetensors";

}  // namespace

void TraceFile::add(const std::string& name, const Tensor& value) {
  Tensor copy(value.shape(), value.dtype());
  std::memcpy(copy.raw(), value.raw(), static_cast<size_t>(value.bytes()));
  tensors_.emplace_back(name, copy);
}

void TraceFile::check() const {
  if (!enabled()) return;
  std::error_code error;
  fs::path there = fs::absolute(folder_, error);
  if (fs::is_directory(there, error)) return check_output_path(there / kName);
  while (!fs::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  if (!fs::is_directory(there, error)) throw Error(ErrorKind::kUsage, "--trace: " + there.string() + " is not a folder");
  if (::access(there.c_str(), W_OK | X_OK) != 0) throw Error(ErrorKind::kUsage, "--trace: " + there.string() + ": " + std::strerror(errno));
}

void TraceFile::write() const {
  if (!enabled()) return;
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) throw Error(ErrorKind::kIo, "--trace: " + folder_ + ": " + error.message());
  write_safetensors(fs::path(folder_) / kName, tensors_);
}

}  // namespace linea::cli
