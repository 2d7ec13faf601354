#include "core/checkpoint.h"

#include <algorithm>
#include <optional>

#include "core/json.h"
#include "core/mapped_file.h"
#include "core/text.h"
#include "core/threads.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxShards = 4096;

std::string shown(const fs::path& path) { return printable(path.string(), 4096); }

// A file of the checkpoint's own folder: a plain name, never a path.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

// "<stem>.safetensors" with a variant inserted before the last part of the name.
fs::path weight_file(const fs::path& folder, const std::string& stem, const std::string& variant) {
  return folder / (stem + (variant.empty() ? "" : "." + variant) + ".safetensors");
}

fs::path index_file(const fs::path& folder, const std::string& stem, const std::string& variant) {
  return folder / (stem + ".safetensors.index" + (variant.empty() ? "" : "." + variant) + ".json");
}

// tensor name -> shard file name, as the index lists them.
std::map<std::string, std::string> read_index(const fs::path& path) {
  const Config index = Config::read(path);
  const Json& weight_map = index.at("weight_map");
  if (!weight_map.is_object() || weight_map.empty()) index.fail("weight_map", "expected an object that names a shard for every tensor");
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, shard] : weight_map.items()) {
    const std::string where = "weight_map: " + printable(tensor);
    if (!shard.is_string()) index.fail(where, "its shard is not a string");
    const std::string name = shard.get<std::string>();
    if (!is_plain_name(name)) index.fail(where, "its shard \"" + printable(name) + "\" is not the name of a file in this folder");
    shards[tensor] = name;
  }
  return shards;
}

// Copies with conversion, on all threads: gigabytes pass through here when a checkpoint's type is not the one computed in.
Tensor converted(const Tensor& source, DType dtype) {
  constexpr int64_t kGrain = 1 << 16;
  Tensor result(source.shape(), dtype);
  parallel_for(source.elements(), kGrain, [&](int64_t begin, int64_t end) {
    convert_elements(static_cast<const char*>(source.raw()) + begin * bytes_of(source.dtype()), source.dtype(),
                     static_cast<char*>(result.raw()) + begin * bytes_of(dtype), dtype, end - begin);
  });
  return result;
}

bool is_convertible(DType type) { return type == DType::kF64 || type == DType::kF32 || type == DType::kF16 || type == DType::kBF16; }

}  // namespace

Checkpoint Checkpoint::open_folder(const fs::path& folder, const std::string& stem, const std::string& variant) {
  if (!variant.empty() && !is_plain_name(variant)) {
    throw Error(ErrorKind::kUsage, "the variant \"" + printable(variant) + "\" is not a plain word such as fp16");
  }
  if (!fs::is_directory(folder)) throw Error(ErrorKind::kModel, shown(folder) + ": no such folder");
  const std::vector<std::string> variants = variant.empty() ? std::vector<std::string>{"", "bf16", "fp16"} : std::vector{variant};
  for (const std::string& v : variants) {
    if (const fs::path file = weight_file(folder, stem, v); fs::exists(file)) return open_file(file);
    const fs::path index = index_file(folder, stem, v);
    if (!fs::exists(index)) continue;

    Checkpoint checkpoint;
    checkpoint.source_ = index;
    const std::map<std::string, std::string> shards = read_index(index);
    std::set<std::string> names;
    for (const auto& [tensor, shard] : shards) names.insert(shard);
    if (names.size() > kMaxShards) throw Error(ErrorKind::kModel, shown(index) + ": names " + std::to_string(names.size()) + " shards");
    for (const std::string& name : names) {
      if (!fs::exists(folder / name)) {
        throw Error(ErrorKind::kModel, shown(index) + ": its shard " + printable(name) + " is missing", "download the model again");
      }
      checkpoint.add_file(folder / name);
    }
    for (const auto& [tensor, shard] : shards) {
      if (!checkpoint.contains(tensor) || checkpoint.files_.at(tensor) != folder / shard) {
        throw Error(ErrorKind::kModel, shown(index) + ": tensor " + printable(tensor) + " is not in its shard " + printable(shard));
      }
    }
    return checkpoint;
  }
  std::string expected =
      weight_file(folder, stem, variant).filename().string() + " or " + index_file(folder, stem, variant).filename().string();
  throw Error(ErrorKind::kModel, shown(folder) + ": no weights found, expected " + expected);
}

Checkpoint Checkpoint::open_file(const fs::path& file) {
  Checkpoint checkpoint;
  checkpoint.source_ = file;
  checkpoint.add_file(file);
  return checkpoint;
}

void Checkpoint::add_file(const fs::path& path) {
  const SafetensorsFile file(path);
  for (const auto& [name, tensor] : file.tensors()) {
    const auto [other, fresh] = files_.emplace(name, path);
    if (!fresh) {
      throw Error(ErrorKind::kModel, shown(path) + ": tensor " + printable(name) + " is also in " + shown(other->second.filename()));
    }
    tensors_.emplace(name, tensor);
  }
}

const Tensor& Checkpoint::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw Error(ErrorKind::kModel, shown(source_) + ": tensor " + printable(name) + " is missing");
  return found->second;
}

Shape Checkpoint::shape_of(const std::string& name) const { return find(name).shape(); }

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : tensors_) result.push_back(name);
  return result;
}

Tensor Checkpoint::load(const std::string& name, Shape shape, DType dtype) const {
  const Tensor& tensor = find(name);
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorKind::kModel, shown(files_.at(name)) + ": tensor " + printable(name) + ": " + what);
  };
  if (tensor.shape() != shape) fail("expected shape " + shape.to_string() + ", found " + tensor.shape().to_string());
  used_.insert(name);
  prefetch(tensor.raw(), tensor.bytes());
  if (tensor.dtype() == dtype) return tensor;
  if (!is_convertible(tensor.dtype()) || !is_convertible(dtype)) {
    fail("is " + std::string(name_of(tensor.dtype())) + ", which cannot become " + std::string(name_of(dtype)));
  }
  return converted(tensor, dtype);
}

void Checkpoint::check_all_used(const std::set<std::string>& ignorable) const {
  constexpr size_t kShown = 5;
  std::vector<std::string> unused;
  for (const auto& [name, tensor] : tensors_) {
    if (!used_.contains(name) && !ignorable.contains(name)) unused.push_back(name);
  }
  if (unused.empty()) return;
  std::string list;
  for (size_t i = 0; i < std::min(unused.size(), kShown); ++i) list += (i ? ", " : "") + printable(unused[i]);
  if (unused.size() > kShown) list += ", …";
  throw Error(ErrorKind::kModel, shown(source_) + ": holds " + std::to_string(unused.size()) +
                                     (unused.size() == 1 ? " tensor" : " tensors") + " that its config does not account for: " + list);
}

int64_t Checkpoint::total_bytes() const {
  int64_t total = 0;
  for (const auto& [name, tensor] : tensors_) total += tensor.bytes();
  return total;
}

}  // namespace linea
