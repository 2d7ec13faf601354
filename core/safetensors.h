// core/safetensors.h: reading and writing of the safetensors container (github.com/huggingface/safetensors, "Format").
//
// Files are mapped, not copied; every offset, shape and size is checked before the first tensor is handed out. Errors are kModel and name
// the file, the tensor and what is wrong.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/deferred_tensor.h"
#include "core/tensor.h"

namespace linea {

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::map<std::string, Tensor>& tensors() const { return tensors_; }         // views of the mapping, which they keep alive
  const std::map<std::string, std::string>& metadata() const { return metadata_; }  // the header's __metadata__
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

// Contiguous CPU tensors, written to a temporary name in the same folder, synced and renamed. Throws kIo.
void write_safetensors(const std::filesystem::path& path, const std::vector<std::pair<std::string, Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata = {});
void stream_safetensors(const std::filesystem::path& path, const std::vector<DeferredTensor>& tensors,
                        const std::map<std::string, std::string>& metadata = {});

}  // namespace linea
