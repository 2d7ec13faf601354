#include "core/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>

#include "core/gguf_format.h"
#include "core/mapped_file.h"
#include "core/text.h"

static_assert(std::endian::native == std::endian::little, "GGUF data is little-endian and used in place");

namespace linea {
namespace {

constexpr uint64_t kMaxText = uint64_t{16} << 20;      // bytes of a string
constexpr uint64_t kMaxElements = uint64_t{16} << 20;  // of an array
constexpr uint64_t kMinPair = 13, kMinTensor = 24;     // bytes of the shortest key with its value, and of the shortest tensor entry

struct RefusedType {
  uint32_t id;
  std::string_view name;
};
constexpr RefusedType kRefusedTypes[] = {{9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
                                         {19, "IQ1_S"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"}, {29, "IQ1_M"},
                                         {34, "TQ1_0"}, {35, "TQ2_0"}, {39, "MXFP4"},   {40, "NVFP4"}};

// One tensor of the header; begin counts from the start of the data.
struct Entry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t begin = 0, bytes = 0;
};

class GgufReader {
 public:
  GgufReader(std::string file, std::span<const std::byte> bytes) : file_(std::move(file)), bytes_(bytes) {}

  std::vector<Entry> read(std::map<std::string, GgufValue>& metadata) {
    check_magic();
    const uint64_t tensors = number<uint64_t>(), pairs = number<uint64_t>();
    check_count(pairs, kMinPair, "keys");
    for (uint64_t i = 0; i < pairs; ++i) read_pair(metadata);
    check_count(tensors, kMinTensor, "tensors");
    std::vector<Entry> entries;
    entries.reserve(tensors);
    for (uint64_t i = 0; i < tensors; ++i) entries.push_back(read_entry());
    alignment_ = alignment_of(metadata);
    data_ = std::min<uint64_t>((at_ + alignment_ - 1) / alignment_ * alignment_, bytes_.size());
    check_ranges(entries);
    return entries;
  }
  uint64_t data() const { return data_; }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorKind::kModel, file_ + ": " + what); }
  [[noreturn]] void fail(const std::string& tensor, const std::string& what) const { fail("tensor " + printable(tensor) + ": " + what); }

  uint64_t left() const { return bytes_.size() - at_; }
  const std::byte* take(uint64_t count) {
    if (count > left()) fail("is cut short: it ends inside its header (is it complete?)");
    const std::byte* result = bytes_.data() + at_;
    at_ += count;
    return result;
  }
  template <class T> T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
    return value;
  }
  // A length is compared with what is left before anything is allocated for it.
  std::string text(uint64_t limit, const char* what) {
    const uint64_t count = number<uint64_t>();
    if (count > limit)
      fail(std::string(what) + " of " + std::to_string(count) + " bytes, at most " + std::to_string(limit) + " are supported");
    const char* begin = reinterpret_cast<const char*>(take(count));
    return std::string(begin, count);
  }

  void check_magic() {
    if (bytes_.empty()) fail("is empty, expected a GGUF file");
    if (bytes_.size() < sizeof(gguf::kMagic) + 4 || std::memcmp(take(sizeof(gguf::kMagic)), gguf::kMagic, sizeof(gguf::kMagic)) != 0) {
      fail("is not a GGUF file");
    }
    const uint32_t version = number<uint32_t>();
    if ((version & 0xffff) == 0) fail("is a big-endian GGUF file, which is not supported");
    if (version == 1) fail("is GGUF version 1, which is not supported: convert the model again");
    if (version < 2 || version > gguf::kVersion) fail("is GGUF version " + std::to_string(version) + ", 2 and 3 are supported");
  }

  void check_count(uint64_t count, uint64_t smallest, const char* what) const {
    if (count > left() / smallest)
      fail("says that it holds " + std::to_string(count) + " " + what + ", more than fit into it (is it complete?)");
  }

  // ---- Metadata ----

  void read_pair(std::map<std::string, GgufValue>& metadata) {
    const std::string key = text(gguf::kMaxKey, "a key");
    const uint32_t type = number<uint32_t>();
    GgufValue value = type == gguf::kArray ? read_array(key) : read_value(key, type);
    if (!metadata.emplace(key, std::move(value)).second) fail("key " + printable(key) + " occurs twice");
  }

  GgufValue read_value(const std::string& key, uint32_t type) {
    switch (type) {
      case 0: return number<uint8_t>();
      case 1: return number<int8_t>();
      case 2: return number<uint16_t>();
      case 3: return number<int16_t>();
      case 4: return number<uint32_t>();
      case 5: return number<int32_t>();
      case 6: return number<float>();
      case 7: return boolean(key);
      case 8: return text(kMaxText, "a string");
      case 10: return number<uint64_t>();
      case 11: return number<int64_t>();
      case 12: return number<double>();
      default: fail("key " + printable(key) + " has the unknown type " + std::to_string(type));
    }
  }

  GgufValue read_array(const std::string& key) {
    const uint32_t type = number<uint32_t>();
    const uint64_t count = number<uint64_t>();
    if (count > kMaxElements) {
      fail("key " + printable(key) + " is an array of " + std::to_string(count) + " elements, at most " + std::to_string(kMaxElements) +
           " are supported");
    }
    switch (type) {
      case 0: return numbers<uint8_t>(count);
      case 1: return numbers<int8_t>(count);
      case 2: return numbers<uint16_t>(count);
      case 3: return numbers<int16_t>(count);
      case 4: return numbers<uint32_t>(count);
      case 5: return numbers<int32_t>(count);
      case 6: return numbers<float>(count);
      case 7: {
        check_count(count, 1, "array elements");
        std::vector<bool> values;
        for (uint64_t i = 0; i < count; ++i) values.push_back(boolean(key));
        return values;
      }
      case 8: {
        check_count(count, sizeof(uint64_t), "array elements");
        std::vector<std::string> values;
        values.reserve(count);
        for (uint64_t i = 0; i < count; ++i) values.push_back(text(kMaxText, "a string"));
        return values;
      }
      case gguf::kArray: fail("key " + printable(key) + " is an array of arrays, which is not supported");
      case 10: return numbers<uint64_t>(count);
      case 11: return numbers<int64_t>(count);
      case 12: return numbers<double>(count);
      default: fail("key " + printable(key) + " is an array of the unknown type " + std::to_string(type));
    }
  }

  bool boolean(const std::string& key) {
    const uint8_t value = number<uint8_t>();
    if (value > 1) fail("key " + printable(key) + " holds a truth value of " + std::to_string(value));
    return value == 1;
  }

  template <class T> std::vector<T> numbers(uint64_t count) {
    check_count(count, sizeof(T), "array elements");
    std::vector<T> values(count);
    const std::byte* source = take(count * sizeof(T));
    if (count > 0) std::memcpy(values.data(), source, count * sizeof(T));
    return values;
  }

  uint64_t alignment_of(const std::map<std::string, GgufValue>& metadata) const {
    const auto found = metadata.find(gguf::kAlignmentKey);
    if (found == metadata.end()) return gguf::kDefaultAlignment;
    const uint32_t* value = std::get_if<uint32_t>(&found->second);
    if (!value || !std::has_single_bit(*value)) fail("key general.alignment is not a power of two");
    return *value;
  }

  // ---- Tensors ----

  Entry read_entry() {
    Entry entry;
    entry.name = text(gguf::kMaxName, "a tensor's name");
    if (entry.name.empty()) fail("a tensor has no name");
    const uint32_t rank = number<uint32_t>();
    if (rank > gguf::kMaxDimensions) {
      fail(entry.name, "has " + std::to_string(rank) + " dimensions, at most " + std::to_string(gguf::kMaxDimensions) + " are possible");
    }
    uint64_t dims[gguf::kMaxDimensions] = {};
    for (uint32_t i = 0; i < rank; ++i) dims[i] = number<uint64_t>();
    entry.dtype = type_of(entry.name, number<uint32_t>());
    entry.begin = number<uint64_t>();
    entry.bytes = read_shape(entry, std::span(dims, rank));
    return entry;
  }

  DType type_of(const std::string& tensor, uint32_t id) const {
    for (const auto& known : gguf::kTypes) {
      if (known.id == id) return known.type;
    }
    std::string name = "number " + std::to_string(id);
    for (const RefusedType& refused : kRefusedTypes) {
      if (refused.id == id) name = refused.name;
    }
    fail(tensor, "type " + name + " is not supported");
  }

  // Fills the shape, slowest axis first, and returns the size in bytes. Refuses products that overflow even when another dimension is 0,
  // since strides are products of some dimensions only.
  uint64_t read_shape(Entry& entry, std::span<const uint64_t> dims) const {
    int64_t elements = 1;
    bool empty = false;
    for (size_t i = dims.size(); i-- > 0;) {
      constexpr uint64_t kMost = uint64_t{1} << 62;
      if (dims[i] > kMost || __builtin_mul_overflow(elements, std::max<int64_t>(static_cast<int64_t>(dims[i]), 1), &elements)) {
        fail(entry.name, "its shape overflows 63 bits");
      }
      empty |= dims[i] == 0;
      entry.shape.push_back(static_cast<int64_t>(dims[i]));
    }
    const int64_t unit = block_elements(entry.dtype);
    const uint64_t row = dims.empty() ? 1 : dims[0];
    if (row % static_cast<uint64_t>(unit) != 0) {
      fail(entry.name, "its rows of " + std::to_string(row) + " are not blocks of " + std::to_string(unit) + ", as " +
                           std::string(name_of(entry.dtype)) + " needs");
    }
    if (empty) return 0;
    int64_t bytes = 0;
    if (__builtin_mul_overflow(elements / unit, block_bytes(entry.dtype), &bytes)) fail(entry.name, "its shape overflows 63 bits");
    return static_cast<uint64_t>(bytes);
  }

  void check_ranges(const std::vector<Entry>& entries) const {
    const uint64_t size = bytes_.size() - data_;
    std::vector<const Entry*> order;
    order.reserve(entries.size());
    for (const Entry& entry : entries) {
      if (entry.begin % alignment_ != 0) {
        fail(entry.name, "its offset " + std::to_string(entry.begin) + " is not a multiple of " + std::to_string(alignment_));
      }
      if (entry.bytes > size || entry.begin > size - entry.bytes) {
        fail(entry.name, entry.shape.to_string() + " " + std::string(name_of(entry.dtype)) + " at offset " + std::to_string(entry.begin) +
                             " reaches beyond the file, which has " + std::to_string(size) + " bytes of data (is it complete?)");
      }
      if (entry.bytes > 0) order.push_back(&entry);
    }
    std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) { return a->begin < b->begin; });
    for (size_t i = 1; i < order.size(); ++i) {
      if (order[i]->begin < order[i - 1]->begin + order[i - 1]->bytes) {
        fail(order[i]->name, "overlaps tensor " + printable(order[i - 1]->name) + " at offset " + std::to_string(order[i]->begin));
      }
    }
  }

  std::string file_;
  std::span<const std::byte> bytes_;
  uint64_t at_ = 0, data_ = 0, alignment_ = gguf::kDefaultAlignment;
};

// A view of the mapping, or a copy when the data does not lie at a multiple of its element size. Blocks need no alignment.
Tensor make_tensor(const Entry& entry, const std::byte* address, const std::shared_ptr<const MappedFile>& mapping) {
  const uint64_t alignment = is_quantized(entry.dtype) ? 1 : static_cast<uint64_t>(bytes_of(entry.dtype));
  if (entry.bytes > 0 && reinterpret_cast<uintptr_t>(address) % alignment == 0) {
    return Tensor(const_cast<std::byte*>(address), entry.shape, entry.dtype, kCpuDevice, mapping);
  }
  Tensor copy(entry.shape, entry.dtype);
  if (entry.bytes > 0) std::memcpy(copy.raw(), address, entry.bytes);
  return copy;
}

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path) : path_(path) {
  const auto mapping = std::make_shared<const MappedFile>(path);
  GgufReader reader(printable(path.string(), 4096), mapping->bytes());
  for (const Entry& entry : reader.read(metadata_)) {
    const bool fresh = tensors_.emplace(entry.name, make_tensor(entry, mapping->data() + reader.data() + entry.begin, mapping)).second;
    if (!fresh) throw Error(ErrorKind::kModel, printable(path.string(), 4096) + ": tensor " + printable(entry.name) + " occurs twice");
  }
}

}  // namespace linea
