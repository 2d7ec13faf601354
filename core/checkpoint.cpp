#include "core/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <optional>

#include "core/gguf.h"
#include "core/json.h"
#include "core/mapped_file.h"
#include "core/planning_memory.h"
#include "core/quantized.h"
#include "core/text.h"
#include "core/threads.h"
#include "core/torch_checkpoint.h"

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

// ---- Files of any format -----------------------------------------------------------------------------------------------------------

enum class Format { kSafetensors, kGguf, kTorch };

// Told by the first bytes: names and endings lie too often.
Format format_of(const fs::path& path) {
  const MappedFile file(path);
  const std::string_view content(reinterpret_cast<const char*>(file.data()), std::min<size_t>(static_cast<size_t>(file.size()), 32));
  if (content.starts_with("GGUF")) return Format::kGguf;
  if (content.starts_with("PK\x03\x04") || content.starts_with("\x80\x02")) return Format::kTorch;
  constexpr size_t kHeader = 8;  // where the JSON of safetensors begins
  const bool plausible =
      content.empty() || content.starts_with("version https://git-lfs") || (content.size() > kHeader && content[kHeader] == '{');
  if (!plausible) throw Error(ErrorKind::kModel, shown(path) + ": is not a file of weights (safetensors, GGUF, or torch's zip form)");
  return Format::kSafetensors;
}

// All parts of a split GGUF model, which are called <stem>-00001-of-00003.gguf; the file itself when it is whole.
std::vector<fs::path> parts_of(const fs::path& path, const GgufFile& file) {
  const int64_t count = file.contains("split.count") ? file.integer("split.count") : 1;
  if (count <= 1) return {path};
  const auto fail = [&](const std::string& what) { throw Error(ErrorKind::kModel, shown(path) + ": " + what); };
  if (count > static_cast<int64_t>(kMaxShards))
    fail("is one of " + std::to_string(count) + " parts, at most " + std::to_string(kMaxShards) + " are supported");
  constexpr size_t kSuffix = std::string_view("-00001-of-00003.gguf").size();
  const auto suffix = [&](int64_t part) {
    char text[64];
    std::snprintf(text, sizeof(text), "-%05d-of-%05d.gguf", static_cast<int>(part), static_cast<int>(count));
    return std::string(text);
  };
  const std::string name = path.filename().string();
  const std::string stem = name.substr(0, name.size() - std::min(name.size(), kSuffix));
  std::vector<fs::path> parts;
  bool among = false;
  for (int64_t part = 1; part <= count; ++part) {
    parts.push_back(path.parent_path() / (stem + suffix(part)));
    among |= parts.back().filename() == name;
  }
  if (!among) fail("is one of " + std::to_string(count) + " parts, but is not called …" + suffix(1));
  for (const fs::path& part : parts) {
    if (!fs::exists(part)) fail("its part " + shown(part.filename()) + " is missing");
  }
  return parts;
}

// The one file of weights in a folder, or the first part of the only split model.
fs::path only_weight_file(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string(), ending = entry.path().extension().string();
    const bool weights = ending == ".safetensors" || ending == ".gguf" || ending == ".pth" || ending == ".pt" || ending == ".bin";
    const size_t of = name.rfind("-of-");
    const bool later_part = ending == ".gguf" && of != std::string::npos && of >= 6 && name.substr(of - 6, 6) != "-00001";
    if (weights && !later_part && entry.is_regular_file(error)) found.push_back(entry.path());
  }
  if (found.size() == 1) return found[0];
  if (found.empty()) throw Error(ErrorKind::kModel, shown(folder) + ": no weights found (.safetensors, .gguf, .pth, .pt or .bin)");
  std::sort(found.begin(), found.end());
  throw Error(ErrorKind::kModel,
              shown(folder) + ": holds " + std::to_string(found.size()) + " files of weights, among them " + shown(found[0].filename()) +
                  " and " + shown(found[1].filename()),
              "name one of them");
}

bool has_weights(const fs::path& folder, const std::string& stem) {
  for (const char* variant : {"", "bf16", "fp16"}) {
    if (fs::exists(weight_file(folder, stem, variant)) || fs::exists(index_file(folder, stem, variant))) return true;
  }
  return false;
}

// Matrices keep the size of what they multiply; norms multiply by about one, biases add little. One run of values is repeated, which is as
// good for timing and a hundred times faster to make.
Tensor random_weights(const std::string& name, Shape shape, DType dtype) {
  constexpr int64_t kRun = 65521;  // a prime, so that no row repeats another
  const bool adds = name.ends_with("bias") || name.ends_with("mean") || name.ends_with("table");
  const double inner = shape.rank() > 1 ? static_cast<double>(shape.elements() / shape[0]) : 1;
  const float centre = shape.rank() > 1 || adds ? 0.0f : 1.0f;
  const float size = static_cast<float>(shape.rank() > 1 && !adds ? std::sqrt(3.0 / inner) : 0.05);
  Tensor run({kRun}, DType::kF32), tensor(shape, dtype);
  uint64_t state = 88172645463325252u + std::hash<std::string>{}(name);
  for (int64_t i = 0; i < kRun; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    run.data<float>()[i] = centre + size * (static_cast<float>(state >> 40) * 0x1p-23f - 1.0f);
  }
  const Tensor converted = run.to(dtype);
  parallel_for((tensor.elements() + kRun - 1) / kRun, 16, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin * kRun; first < std::min(end * kRun, tensor.elements()); first += kRun) {
      const int64_t count = std::min(kRun, tensor.elements() - first);
      std::memcpy(static_cast<char*>(tensor.raw()) + first * bytes_of(dtype), converted.raw(),
                  static_cast<size_t>(count * bytes_of(dtype)));
    }
  });
  return tensor;
}

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

Checkpoint Checkpoint::open_any(const fs::path& path) {
  if (!fs::exists(path)) throw Error(ErrorKind::kModel, shown(path) + ": no such file or folder");
  fs::path file = path;
  if (fs::is_directory(path)) {
    for (const char* stem : {"model", "diffusion_pytorch_model"}) {
      if (has_weights(path, stem)) return open_folder(path, stem);
    }
    file = only_weight_file(path);
  }
  Checkpoint checkpoint;
  checkpoint.source_ = file;
  checkpoint.add_any_file(file);
  return checkpoint;
}

Checkpoint Checkpoint::random() {
  Checkpoint checkpoint;
  checkpoint.random_ = true;
  checkpoint.source_ = "random weights";
  return checkpoint;
}

Checkpoint Checkpoint::of_tensors(const fs::path& source, const std::map<std::string, Tensor>& tensors) {
  Checkpoint checkpoint;
  checkpoint.source_ = source;
  checkpoint.add_tensors(source, tensors);
  return checkpoint;
}

void Checkpoint::add_file(const fs::path& path) { add_tensors(path, SafetensorsFile(path).tensors()); }

void Checkpoint::add_any_file(const fs::path& path) {
  switch (format_of(path)) {
    case Format::kSafetensors: return add_file(path);
    case Format::kTorch: return add_tensors(path, TorchCheckpoint(path).weights());
    case Format::kGguf: break;
  }
  const GgufFile file(path);
  for (const fs::path& part : parts_of(path, file)) {
    if (part == path) {
      add_tensors(part, file.tensors());
    } else {
      add_tensors(part, GgufFile(part).tensors());
    }
  }
}

void Checkpoint::add_tensors(const fs::path& path, const std::map<std::string, Tensor>& tensors) {
  for (const auto& [name, tensor] : tensors) {
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
  const bool planning = PlanningMemory::active() != nullptr;
  if (random_) return planning ? PlanningMemory::placeholder(shape, dtype, /*counts=*/true) : random_weights(name, shape, dtype);
  const Tensor& tensor = find(name);
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorKind::kModel, shown(files_.at(name)) + ": tensor " + printable(name) + ": " + what);
  };
  if (tensor.shape() != shape) fail("expected shape " + shape.to_string() + ", found " + tensor.shape().to_string());
  used_.insert(name);
  const bool as_stored = tensor.dtype() == dtype, dequantizes = is_quantized(tensor.dtype()) && is_convertible(dtype);
  if (planning && (as_stored || dequantizes || is_convertible(dtype))) return PlanningMemory::placeholder(shape, dtype, !as_stored);
  prefetch(tensor.raw(), tensor.bytes());
  if (as_stored) return tensor;
  if (dequantizes) return dequantized(tensor, dtype);
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
