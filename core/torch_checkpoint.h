// core/torch_checkpoint.h: tensors from the files of torch.save (.pth, .pt, .bin), in their zip form of torch 1.6 and later.
//
// Only tensors in dictionaries are read, numbers and texts beside them are skipped, and anything that would need code to run is refused by
// name (core/pickle.h). Every offset, size, shape and stride is checked before the first tensor is handed out. Errors are kModel and name
// the file, the tensor and what is wrong.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace linea {

class TorchCheckpoint {
 public:
  explicit TorchCheckpoint(const std::filesystem::path& path);

  // All tensors, contiguous: views of the mapped file, or copies where they lie unaligned or through strides. Dictionaries in dictionaries
  // join their keys with dots: {"state_dict": {"a": tensor}} holds "state_dict.a".
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  // The keys of the outermost dictionary whose values are dictionaries with tensors, sorted; a plain state dictionary has none.
  const std::vector<std::string>& groups() const { return groups_; }
  // The tensors of one group, by their names inside it.
  std::map<std::string, Tensor> group(const std::string& name) const;
  // The model's own: the group "state_dict", "model" or "module" if there is one, or the only group when nothing else holds tensors, else
  // all.
  std::map<std::string, Tensor> weights() const;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::map<std::string, Tensor> tensors_;
  std::vector<std::string> groups_;
};

}  // namespace linea
