#include "core/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <limits>

#include "core/atomic_file.h"
#include "core/json.h"
#include "core/mapped_file.h"
#include "core/text.h"

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian and used in place");

namespace linea {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr uint64_t kLengthBytes = 8;

struct NamedType {
  std::string_view name;
  DType type;
};
constexpr NamedType kTypes[] = {{"F64", DType::kF64},        {"F32", DType::kF32},        {"F16", DType::kF16}, {"BF16", DType::kBF16},
                                {"F8_E4M3", DType::kF8E4M3}, {"F8_E5M2", DType::kF8E5M2}, {"I64", DType::kI64}, {"I32", DType::kI32},
                                {"I16", DType::kI16},        {"I8", DType::kI8},          {"U8", DType::kU8},   {"BOOL", DType::kBool}};

// One tensor of the header; begin and end count from the end of the header.
struct Entry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t begin = 0, end = 0;
};

// Turns a header into checked entries: nothing of it is believed before it was compared with the size of the file.
class HeaderReader {
 public:
  HeaderReader(std::string file, uint64_t data_bytes) : file_(std::move(file)), data_bytes_(data_bytes) {}

  std::vector<Entry> read(const Json& header, std::map<std::string, std::string>& metadata) const {
    if (!header.is_object()) fail("the header is not a JSON object");
    std::vector<Entry> entries;
    for (const auto& [name, value] : header.items()) {
      if (name == "__metadata__") {
        read_metadata(value, metadata);
      } else {
        entries.push_back(read_entry(name, value));
      }
    }
    check_coverage(entries);
    return entries;
  }

  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorKind::kModel, file_ + ": " + what); }

 private:
  [[noreturn]] void fail(const std::string& tensor, const std::string& what) const { fail("tensor " + printable(tensor) + ": " + what); }

  void read_metadata(const Json& value, std::map<std::string, std::string>& metadata) const {
    if (!value.is_object()) fail("__metadata__ is not an object of strings");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) fail("__metadata__: " + printable(key) + " is not a string");
      metadata[key] = text.get<std::string>();
    }
  }

  const Json& field(const std::string& tensor, const Json& value, const char* key) const {
    const auto found = value.find(key);
    if (found == value.end()) fail(tensor, std::string(key) + " is missing");
    return *found;
  }

  Entry read_entry(const std::string& name, const Json& value) const {
    if (!value.is_object()) fail(name, "its header entry is not an object");
    Entry entry{.name = name, .dtype = read_type(name, field(name, value, "dtype")), .shape = {}};
    const uint64_t bytes = read_shape(field(name, value, "shape"), entry);
    const Json& offsets = field(name, value, "data_offsets");
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
      fail(name, "data_offsets are not two non-negative integers");
    }
    entry.begin = offsets[0].get<uint64_t>();
    entry.end = offsets[1].get<uint64_t>();
    std::string range = "[";
    range += std::to_string(entry.begin) + ", " + std::to_string(entry.end) + ")";
    if (entry.begin > entry.end) fail(name, "data_offsets " + range + " end before they begin");
    if (entry.end > data_bytes_) {
      fail(name, "data_offsets " + range + " reach beyond the file, which has " + std::to_string(data_bytes_) +
                     " bytes of data (is it complete?)");
    }
    if (entry.end - entry.begin != bytes) {
      fail(name, entry.shape.to_string() + " " + std::string(name_of(entry.dtype)) + " needs " + std::to_string(bytes) +
                     " bytes, data_offsets " + range + " give " + std::to_string(entry.end - entry.begin));
    }
    return entry;
  }

  DType read_type(const std::string& tensor, const Json& value) const {
    if (!value.is_string()) fail(tensor, "dtype is not a string");
    const std::string name = value.get<std::string>();
    const auto* found = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const NamedType& t) { return t.name == name; });
    if (found == std::end(kTypes)) fail(tensor, "unsupported dtype \"" + printable(name, 40) + "\"");
    return found->type;
  }

  // Fills the shape and returns the size in bytes. Refuses products that overflow even when another dimension is 0, since strides are
  // products of some dimensions only.
  uint64_t read_shape(const Json& value, Entry& entry) const {
    if (!value.is_array()) fail(entry.name, "shape is not a list");
    if (value.size() > Shape::kMaxRank) {
      fail(entry.name,
           "has " + std::to_string(value.size()) + " dimensions, at most " + std::to_string(Shape::kMaxRank) + " are supported");
    }
    int64_t bytes = bytes_of(entry.dtype);
    bool empty = false;
    for (const Json& dimension : value) {
      if (!dimension.is_number_unsigned()) fail(entry.name, "shape holds something else than non-negative integers");
      const uint64_t size = dimension.get<uint64_t>();
      if (size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
          __builtin_mul_overflow(bytes, std::max<int64_t>(static_cast<int64_t>(size), 1), &bytes)) {
        fail(entry.name, "its shape overflows 63 bits");
      }
      empty |= size == 0;
      entry.shape.push_back(static_cast<int64_t>(size));
    }
    return empty ? 0 : static_cast<uint64_t>(bytes);
  }

  // The format demands that tensors fill the data without holes and without sharing bytes.
  void check_coverage(const std::vector<Entry>& entries) const {
    std::vector<const Entry*> order;
    order.reserve(entries.size());
    for (const Entry& entry : entries) order.push_back(&entry);
    std::sort(order.begin(), order.end(),
              [](const Entry* a, const Entry* b) { return std::pair(a->begin, a->end) < std::pair(b->begin, b->end); });
    uint64_t covered = 0;
    for (const Entry* entry : order) {
      if (entry->begin < covered) fail(entry->name, "overlaps the tensor before it at data offset " + std::to_string(entry->begin));
      if (entry->begin > covered) {
        fail(entry->name,
             "leaves a hole of " + std::to_string(entry->begin - covered) + " bytes before data offset " + std::to_string(entry->begin));
      }
      covered = entry->end;
    }
    if (covered != data_bytes_) {
      fail("has " + std::to_string(data_bytes_) + " bytes of data, its tensors use " + std::to_string(covered));
    }
  }

  std::string file_;
  uint64_t data_bytes_;
};

// A view of the mapping, or a copy when the data does not lie at a multiple of its element size.
Tensor make_tensor(const Entry& entry, const std::byte* data, const std::shared_ptr<const MappedFile>& mapping) {
  const std::byte* address = data + entry.begin;
  if (reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(bytes_of(entry.dtype)) == 0) {
    return Tensor(const_cast<std::byte*>(address), entry.shape, entry.dtype, kCpuDevice, mapping);
  }
  Tensor copy(entry.shape, entry.dtype);
  std::memcpy(copy.raw(), address, entry.end - entry.begin);
  return copy;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_(path) {
  const auto mapping = std::make_shared<const MappedFile>(path);
  const std::string file = printable(path.string(), 4096);
  const auto fail = [&](const std::string& what) { throw Error(ErrorKind::kModel, file + ": " + what); };
  const uint64_t size = static_cast<uint64_t>(mapping->size());
  if (size == 0) fail("is empty, expected a safetensors file");
  if (size <= kLengthBytes) fail("is not a safetensors file: it has only " + std::to_string(size) + " bytes");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, mapping->data(), kLengthBytes);
  const char* header = reinterpret_cast<const char*>(mapping->data()) + kLengthBytes;
  constexpr std::string_view kLfsPointer = "version https://git-lfs";
  if (size > kLfsPointer.size() && std::memcmp(mapping->data(), kLfsPointer.data(), kLfsPointer.size()) == 0) {
    fail("is a Git LFS pointer, not the file itself (run: git lfs pull)");
  }
  // A length that cannot be true is most often another kind of file; one that could be, a file that was cut short.
  if (header_bytes > kMaxHeaderBytes || header_bytes < 2 || *header != '{') fail("is not a safetensors file");
  if (header_bytes > size - kLengthBytes) {
    fail("is cut short: its header needs " + std::to_string(header_bytes) + " bytes, the file has " + std::to_string(size));
  }
  const Json json = parse_json(std::string_view(header, header_bytes), path.string() + ": safetensors header");
  const HeaderReader reader(file, size - kLengthBytes - header_bytes);
  const std::byte* data = mapping->data() + kLengthBytes + header_bytes;
  for (const Entry& entry : reader.read(json, metadata_)) tensors_[entry.name] = make_tensor(entry, data, mapping);
}

void write_safetensors(const std::filesystem::path& path, const std::vector<std::pair<std::string, Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  stream_safetensors(path, deferred(tensors), metadata);
}

void stream_safetensors(const std::filesystem::path& path, const std::vector<DeferredTensor>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  // Wide elements first, so that every tensor lies at a multiple of its element size.
  std::vector<const DeferredTensor*> order;
  order.reserve(tensors.size());
  for (const DeferredTensor& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return bytes_of(a->dtype) > bytes_of(b->dtype); });

  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const DeferredTensor* tensor : order) {
    LINEA_ASSERT(tensor->name != "__metadata__" && !header.contains(tensor->name));
    const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const NamedType& t) { return t.type == tensor->dtype; });
    LINEA_ASSERT(type != std::end(kTypes));
    Json shape = Json::array();
    for (int i = 0; i < tensor->shape.rank(); ++i) shape.push_back(tensor->shape[i]);
    const int64_t end = offset + bytes_for(tensor->dtype, tensor->shape.elements());
    header[tensor->name] = {{"dtype", type->name}, {"shape", shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  constexpr size_t kAlignment = 64;  // of the first tensor in the file: a cache line, and the widest vector
  text.resize((kLengthBytes + text.size() + kAlignment - 1) / kAlignment * kAlignment - kLengthBytes, ' ');

  AtomicFile file(path);
  const uint64_t length = text.size();
  file.write(&length, kLengthBytes);
  file.write(text);
  for (const DeferredTensor* deferred : order) {
    const Tensor tensor = deferred->make();
    LINEA_ASSERT(tensor.device().is_cpu() && tensor.is_contiguous());
    LINEA_ASSERT(tensor.shape() == deferred->shape && tensor.dtype() == deferred->dtype);
    file.write(tensor.raw(), static_cast<size_t>(tensor.bytes()));
  }
  file.commit();
}

}  // namespace linea
