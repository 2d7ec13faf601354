#include <algorithm>
#include <iterator>
#include <set>
#include <type_traits>

#include "core/atomic_file.h"
#include "core/gguf.h"
#include "core/gguf_format.h"
#include "core/text.h"

namespace linea {
namespace {

class HeaderWriter {
 public:
  explicit HeaderWriter(std::string file) : file_(std::move(file)) { bytes_.append(gguf::kMagic, sizeof(gguf::kMagic)); }

  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorKind::kModel, file_ + ": cannot write " + what); }

  template <class T> void number(T value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T)); }
  void text(const std::string& value) {
    number<uint64_t>(value.size());
    bytes_ += value;
  }

  void pair(const std::string& key, const GgufValue& value) {
    if (key.empty() || key.size() > gguf::kMaxKey) fail("a key of " + std::to_string(key.size()) + " bytes");
    if (key == gguf::kAlignmentKey) fail("the key general.alignment: the file's own is always 32");
    if (!keys_.insert(key).second) fail("key " + printable(key) + " twice");
    text(key);
    // The variant lists the scalars and then the arrays, both in the order of the format's numbers but for the array's own.
    constexpr size_t kScalars = 12;
    const size_t index = value.index() % kScalars;
    const uint32_t type = static_cast<uint32_t>(index < gguf::kArray ? index : index + 1);
    if (value.index() >= kScalars) number(gguf::kArray);
    number(type);
    std::visit([&](const auto& v) { this->content(v); }, value);
  }

  void tensor(const DeferredTensor& tensor, uint64_t offset) {
    const std::string& name = tensor.name;
    const Shape& shape = tensor.shape;
    const std::string shown = "tensor " + printable(name);
    if (name.empty() || name.size() > gguf::kMaxName) fail(shown + ": its name has " + std::to_string(name.size()) + " bytes");
    if (!names_.insert(name).second) fail(shown + " twice");
    if (shape.rank() > static_cast<int>(gguf::kMaxDimensions)) fail(shown + ": it has " + std::to_string(shape.rank()) + " dimensions");
    const auto* type =
        std::find_if(std::begin(gguf::kTypes), std::end(gguf::kTypes), [&](const auto& t) { return t.type == tensor.dtype; });
    if (type == std::end(gguf::kTypes)) fail(shown + ": GGUF has no type " + std::string(name_of(tensor.dtype)));
    text(name);
    number(static_cast<uint32_t>(shape.rank()));
    for (int i = shape.rank() - 1; i >= 0; --i) number(static_cast<uint64_t>(shape[i]));
    number(type->id);
    number(offset);
  }

  const std::string& bytes() const { return bytes_; }

 private:
  template <class T> void content(const T& value) { number(value); }
  void content(const bool& value) { number(static_cast<uint8_t>(value)); }
  void content(const std::string& value) { text(value); }
  template <class T> void content(const std::vector<T>& values) {
    number<uint64_t>(values.size());
    for (const T& value : values) content(value);
  }
  void content(const std::vector<bool>& values) {
    number<uint64_t>(values.size());
    for (const bool value : values) content(value);
  }

  std::string file_, bytes_;
  std::set<std::string> keys_, names_;
};

uint64_t padding_after(uint64_t bytes) { return (gguf::kDefaultAlignment - bytes % gguf::kDefaultAlignment) % gguf::kDefaultAlignment; }

}  // namespace

void write_gguf(const std::filesystem::path& path, const std::vector<std::pair<std::string, GgufValue>>& metadata,
                const std::vector<std::pair<std::string, Tensor>>& tensors) {
  stream_gguf(path, metadata, deferred(tensors));
}

void stream_gguf(const std::filesystem::path& path, const std::vector<std::pair<std::string, GgufValue>>& metadata,
                 const std::vector<DeferredTensor>& tensors) {
  HeaderWriter header(printable(path.string(), 4096));
  header.number(gguf::kVersion);
  header.number<uint64_t>(tensors.size());
  header.number<uint64_t>(metadata.size());
  for (const auto& [key, value] : metadata) header.pair(key, value);
  uint64_t offset = 0;
  for (const DeferredTensor& tensor : tensors) {
    header.tensor(tensor, offset);
    const uint64_t bytes = static_cast<uint64_t>(bytes_for(tensor.dtype, tensor.shape.elements()));
    offset += bytes + padding_after(bytes);
  }

  AtomicFile file(path);
  const std::string zeros(gguf::kDefaultAlignment, '\0');
  file.write(header.bytes());
  file.write(zeros.data(), padding_after(header.bytes().size()));
  for (const DeferredTensor& deferred : tensors) {
    const Tensor tensor = deferred.make();
    LINEA_ASSERT(tensor.device().is_cpu() && tensor.is_contiguous());
    LINEA_ASSERT(tensor.shape() == deferred.shape && tensor.dtype() == deferred.dtype);
    const uint64_t bytes = static_cast<uint64_t>(tensor.bytes());
    file.write(tensor.raw(), bytes);
    file.write(zeros.data(), padding_after(bytes));
  }
  file.commit();
}

}  // namespace linea
