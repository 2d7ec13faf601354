// core/gguf.h: reading and writing of the GGUF container (github.com/ggml-org/ggml, docs/gguf.md), versions 2 and 3, little-endian.
//
// Files are mapped, not copied; every count, offset, shape and size is checked before the first tensor is handed out. Errors are kModel and
// name the file, the key or tensor and what is wrong.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/deferred_tensor.h"
#include "core/tensor.h"

namespace linea {

// A scalar or an array of one of the format's types. Arrays of arrays are refused.
using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool, std::string, uint64_t, int64_t, double,
                               std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>, std::vector<int16_t>,
                               std::vector<uint32_t>, std::vector<int32_t>, std::vector<float>, std::vector<bool>, std::vector<std::string>,
                               std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>>;

class GgufFile {
 public:
  explicit GgufFile(const std::filesystem::path& path);

  // Views of the mapping, which they keep alive. The format lists a shape's fastest axis first; ours is row-major, so a torch matrix
  // [out, in] has that shape here too.
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return path_; }

  // Metadata by what it means: writers differ in the width of the same number. Throw kModel when absent or of another kind.
  bool contains(const std::string& key) const { return metadata_.contains(key); }
  int64_t integer(const std::string& key) const;
  double number(const std::string& key) const;
  bool boolean(const std::string& key) const;
  const std::string& text(const std::string& key) const;
  const std::vector<std::string>& texts(const std::string& key) const;

 private:
  const GgufValue& find(const std::string& key) const;
  [[noreturn]] void fail(const std::string& key, const std::string& what) const;

  std::filesystem::path path_;
  std::map<std::string, GgufValue> metadata_;
  std::map<std::string, Tensor> tensors_;
};

// Contiguous CPU tensors of at most four dimensions, in the given order, as version 3; the same input gives the same bytes. Written to a
// temporary name in the same folder, synced and renamed. Throws kModel for what the format cannot hold, kIo when writing fails.
void write_gguf(const std::filesystem::path& path, const std::vector<std::pair<std::string, GgufValue>>& metadata,
                const std::vector<std::pair<std::string, Tensor>>& tensors);
void stream_gguf(const std::filesystem::path& path, const std::vector<std::pair<std::string, GgufValue>>& metadata,
                 const std::vector<DeferredTensor>& tensors);

}  // namespace linea
