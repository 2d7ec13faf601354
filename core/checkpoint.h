// core/checkpoint.h: the weights of one model part, from one file or many shards, handed out by name with their shapes checked.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/safetensors.h"

namespace linea {

class Checkpoint {
 public:
  // `folder` holds weights by the Hugging Face rules (`<stem>[.<variant>].safetensors`, or `<stem>.safetensors.index[.<variant>].json`
  // with its shards), where stem is "diffusion_pytorch_model" or "model". Without a variant the plain file is preferred, then "bf16",
  // "fp16". A shard must be a plain file name: one that could lead outside the folder is refused (links are followed, as caches use them).
  static Checkpoint open_folder(const std::filesystem::path& folder, const std::string& stem, const std::string& variant = {});
  static Checkpoint open_file(const std::filesystem::path& file);  // safetensors
  // A file of weights in any format, told by its content: safetensors, GGUF (with the other parts of a split model beside it) or
  // torch.save's, whose weights may lie in a dictionary of their own (see TorchCheckpoint::weights). Or a folder: its weights by the rules
  // of open_folder with either stem, else the one file of weights that it holds.
  static Checkpoint open_any(const std::filesystem::path& path);

  // Tensors that are there already, for example those of another checkpoint under other names; `source` names them in messages.
  static Checkpoint of_tensors(const std::filesystem::path& source, const std::map<std::string, Tensor>& tensors);

  // Whatever is asked for, in the shape asked for, with random values of the size that trained weights have: for benchmarks of published
  // configurations without their files.
  static Checkpoint random();

  bool contains(const std::string& name) const { return random_ || tensors_.contains(name); }
  Shape shape_of(const std::string& name) const;  // throws kModel when absent
  std::vector<std::string> names() const;
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }  // as they lie in the files

  // The tensor, checked: throws kModel naming file, tensor, expected and found shape. Marks it as used. A view of the mapped file when its
  // type is `dtype` already, else a converted (and dequantised) copy.
  Tensor load(const std::string& name, Shape shape, DType dtype) const;

  // Throws kModel listing tensors that nobody loaded (up to five), so that a wrong config cannot pass silently.
  void check_all_used(const std::set<std::string>& ignorable = {}) const;

  int64_t total_bytes() const;
  const std::filesystem::path& source() const { return source_; }

 private:
  void add_file(const std::filesystem::path& path);      // safetensors
  void add_any_file(const std::filesystem::path& path);  // of any format
  void add_tensors(const std::filesystem::path& path, const std::map<std::string, Tensor>& tensors);
  const Tensor& find(const std::string& name) const;  // throws kModel when absent

  bool random_ = false;
  std::filesystem::path source_;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, std::filesystem::path> files_;  // tensor -> the file that holds it
  mutable std::set<std::string> used_;
};

}  // namespace linea
