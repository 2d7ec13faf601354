#include "core/torch_checkpoint.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "core/mapped_file.h"
#include "core/pickle.h"
#include "core/text.h"
#include "core/zip.h"

static_assert(std::endian::native == std::endian::little, "tensor data is little-endian and used in place");

namespace linea {
namespace {

using Kind = PickleValue::Kind;
using Members = std::map<std::string, std::span<const std::byte>>;

constexpr int kMaxDepth = 32;            // dictionaries in dictionaries
constexpr size_t kMaxNames = 1'000'000;  // tensors and dictionaries together: shared dictionaries could otherwise multiply without end

bool starts_with(std::span<const std::byte> bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

std::string_view text_of(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

class TorchReader {
 public:
  TorchReader(std::string file, std::shared_ptr<const MappedFile> mapping) : file_(std::move(file)), mapping_(std::move(mapping)) {
    check_kind(mapping_->bytes());
    // Copies may take a few times the file, no more: an expanded tensor has stride 0 and any size it likes.
    copy_budget_ = 4 * static_cast<uint64_t>(mapping_->size()) + (uint64_t{64} << 20);
  }

  std::map<std::string, Tensor> read(std::vector<std::string>& groups) {
    members_ = stored_members(mapping_->bytes(), file_);
    find_top();
    const Pickle pickle(members_.at(top_ + "data.pkl"), file_);
    if (pickle.root().kind != Kind::kDict) fail("does not hold a dictionary of tensors");
    add(pickle.root(), "", 0, &groups);
    if (tensors_.empty()) fail("holds no tensors");
    return std::move(tensors_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorKind::kModel, file_ + ": " + what); }
  [[noreturn]] void fail(const std::string& tensor, const std::string& what) const { fail("tensor " + printable(tensor) + ": " + what); }

  // Says what the file is when it is not a zip file.
  void check_kind(std::span<const std::byte> bytes) const {
    constexpr std::string_view kOldMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14);
    if (bytes.empty()) fail("is empty, expected a torch file");
    if (starts_with(bytes, kOldMagic)) fail("is in the old torch format (before 1.6); save it again with torch.save of a newer torch");
    if (starts_with(bytes, "\x80\x02")) fail("is a bare pickle, not a torch file");
    if (starts_with(bytes, "version https://git-lfs")) fail("is a Git LFS pointer, not the file itself (run: git lfs pull)");
    if (!starts_with(bytes, "PK\x03\x04")) fail("is not a torch file");
  }

  // The folder inside the archive: torch names it after the file it was saved as.
  void find_top() {
    constexpr std::string_view kPickle = "data.pkl";
    bool found = false;
    for (const auto& [name, bytes] : members_) {
      if (!name.ends_with(kPickle)) continue;
      const std::string folder = name.substr(0, name.size() - kPickle.size());
      if (!folder.ends_with('/') || folder.find('/') != folder.size() - 1) continue;
      if (found) fail("holds two pickles, " + printable(top_ + "data.pkl") + " and " + printable(name));
      top_ = folder;
      found = true;
    }
    if (!found) fail("is a zip file without data.pkl, not a torch file");
    for (const auto& [name, bytes] : members_) {
      if (name == top_ + "constants.pkl" || name.starts_with(top_ + "code/"))
        fail("is a TorchScript program, not a file of tensors; refused");
    }
    const auto order = members_.find(top_ + "byteorder");
    if (order != members_.end() && text_of(order->second) != "little") fail("was saved on a big-endian machine, which is not supported");
  }

  // Adds what a dictionary holds. `groups` is there for the outermost one.
  void add(const PickleValue& dict, const std::string& prefix, int depth, std::vector<std::string>* groups) {
    if (depth > kMaxDepth) fail("its dictionaries are nested more than " + std::to_string(kMaxDepth) + " deep");
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      const PickleValue &key = *dict.items[i], &value = *dict.items[i + 1];
      if (value.kind != Kind::kTensor && value.kind != Kind::kDict) continue;
      if (++names_ > kMaxNames) fail("holds more than " + std::to_string(kMaxNames) + " tensors and dictionaries");
      if (key.kind != Kind::kText && key.kind != Kind::kInteger) fail("a key beside a tensor is neither a text nor an integer");
      const std::string own = key.kind == Kind::kText ? std::string(key.text) : std::to_string(key.integer);
      const std::string name = prefix + own;
      if (name.size() > kMaxName) fail("a tensor's name has more than " + std::to_string(kMaxName) + " bytes");
      if (value.kind == Kind::kDict) {
        const size_t before = tensors_.size();
        add(value, name + ".", depth + 1, nullptr);
        if (groups && tensors_.size() > before) groups->push_back(own);
      } else if (!tensors_.emplace(name, tensor(name, value)).second) {
        fail("tensor " + printable(name) + " occurs twice");
      }
    }
    if (groups) {
      std::sort(groups->begin(), groups->end());
      groups->erase(std::unique(groups->begin(), groups->end()), groups->end());
    }
  }

  Tensor tensor(const std::string& name, const PickleValue& value) {
    const std::span<const std::byte> storage = storage_of(name, value);
    const int64_t size = bytes_of(value.dtype), available = static_cast<int64_t>(storage.size()) / size;
    const auto &dims = value.items[1]->items, &steps = value.items[2]->items;
    if (dims.size() > Shape::kMaxRank) {
      fail(name, "has " + std::to_string(dims.size()) + " dimensions, at most " + std::to_string(Shape::kMaxRank) + " are supported");
    }
    Shape shape, strides;
    int64_t bytes = size;          // of a copy; a dimension of 0 counts as 1, since strides are products of some dimensions only
    int64_t last = value.integer;  // the element of the storage that lies furthest
    bool contiguous = true, overflow = value.integer < 0, empty = false;
    for (size_t i = dims.size(); i-- > 0;) {
      const int64_t dim = dims[i]->integer, step = steps[i]->integer;
      if (dim < 0 || step < 0) fail(name, "has a negative size or stride");
      int64_t reach = 0;
      if (dim > 1) {
        contiguous &= step == bytes / size;
        overflow |= __builtin_mul_overflow(dim - 1, step, &reach) || __builtin_add_overflow(last, reach, &last);
      }
      empty |= dim == 0;
      overflow |= __builtin_mul_overflow(bytes, std::max<int64_t>(dim, 1), &bytes);
      if (overflow) break;
    }
    if (overflow) fail(name, "its shape or strides overflow 63 bits");
    for (size_t i = 0; i < dims.size(); ++i) {
      shape.push_back(dims[i]->integer);
      strides.push_back(steps[i]->integer);
    }
    if (empty) return Tensor(shape, value.dtype);
    if (last >= available) {
      fail(name, shape.to_string() + " " + std::string(name_of(value.dtype)) + " reaches element " + std::to_string(last) +
                     " of a storage with " + std::to_string(available));
    }
    const std::byte* first = storage.data() + value.integer * size;
    const bool aligned = reinterpret_cast<uintptr_t>(first) % static_cast<uintptr_t>(size) == 0;
    if (contiguous && aligned) return Tensor(const_cast<std::byte*>(first), shape, value.dtype, kCpuDevice, mapping_);
    if (static_cast<uint64_t>(bytes) > copy_budget_) fail(name, "its strides would multiply the file's data; refused");
    copy_budget_ -= static_cast<uint64_t>(bytes);
    Tensor copy(shape, value.dtype);
    gather(first, strides, copy);
    return copy;
  }

  std::span<const std::byte> storage_of(const std::string& name, const PickleValue& value) const {
    const PickleValue& storage = *value.items[0];
    const auto member = members_.find(top_ + "data/" + std::string(storage.text));
    if (member == members_.end()) fail(name, "its data " + printable(top_ + "data/" + std::string(storage.text)) + " is not in the file");
    int64_t bytes = 0;
    if (storage.integer < 0 || __builtin_mul_overflow(storage.integer, bytes_of(storage.dtype), &bytes) ||
        static_cast<uint64_t>(bytes) > member->second.size()) {
      fail(name,
           "its storage of " + std::to_string(storage.integer) + " elements has only " + std::to_string(member->second.size()) + " bytes");
    }
    return member->second.first(static_cast<size_t>(bytes));
  }

  // Copies element by element through any strides.
  static void gather(const std::byte* first, const Shape& strides, Tensor& copy) {
    const int rank = copy.rank();
    const size_t size = static_cast<size_t>(bytes_of(copy.dtype()));
    std::byte* target = static_cast<std::byte*>(copy.raw());
    std::array<int64_t, Shape::kMaxRank> index{};
    int64_t offset = 0;
    for (int64_t n = copy.elements(); n > 0; --n, target += size) {
      std::memcpy(target, first + offset * static_cast<int64_t>(size), size);
      for (int i = rank - 1; i >= 0; --i) {
        int64_t& at = index[static_cast<size_t>(i)];
        if (++at < copy.dim(i)) {
          offset += strides[i];
          break;
        }
        offset -= (at - 1) * strides[i];
        at = 0;
      }
    }
  }

  static constexpr size_t kMaxName = 4096;

  std::string file_;
  std::shared_ptr<const MappedFile> mapping_;
  uint64_t copy_budget_ = 0;
  Members members_;
  std::string top_;
  size_t names_ = 0;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace

TorchCheckpoint::TorchCheckpoint(const std::filesystem::path& path) : path_(path) {
  TorchReader reader(printable(path.string(), 4096), std::make_shared<const MappedFile>(path));
  tensors_ = reader.read(groups_);
}

std::map<std::string, Tensor> TorchCheckpoint::group(const std::string& name) const {
  const std::string prefix = name + ".";
  std::map<std::string, Tensor> result;
  for (auto it = tensors_.lower_bound(prefix); it != tensors_.end() && it->first.starts_with(prefix); ++it) {
    result.emplace(it->first.substr(prefix.size()), it->second);
  }
  return result;
}

std::map<std::string, Tensor> TorchCheckpoint::weights() const {
  for (const char* usual : {"state_dict", "model", "module"}) {
    if (std::find(groups_.begin(), groups_.end(), usual) != groups_.end()) return group(usual);
  }
  if (groups_.size() == 1) {
    std::map<std::string, Tensor> only = group(groups_[0]);
    if (only.size() == tensors_.size()) return only;
  }
  return tensors_;
}

}  // namespace linea
