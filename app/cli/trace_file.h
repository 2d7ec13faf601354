// app/cli/trace_file.h: intermediate tensors of a run as one safetensors file, for comparing with other implementations.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace linea::cli {

class TraceFile {
 public:
  explicit TraceFile(std::string folder) : folder_(std::move(folder)) {}
  bool enabled() const { return !folder_.empty(); }
  void add(const std::string& name, const Tensor& value);                                          // as it is now
  void keep(const std::string& name, const Tensor& value) { tensors_.emplace_back(name, value); }  // that does not change any more
  void check() const;  // throws kUsage where write() could not; before any work
  void write() const;  // FOLDER/trace.safetensors; the folder is made if need be

 private:
  std::string folder_;
  std::vector<std::pair<std::string, Tensor>> tensors_;
};

}  // namespace linea::cli
