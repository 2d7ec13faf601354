// core/zip.cpp: the structures of APPNOTE.TXT, "ZIP File Format Specification", sections 4.3 and 4.5.3.
#include "core/zip.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/text.h"

namespace linea {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50, kCentralHeader = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                   kEnd64Locator = 0x07064b50;
constexpr uint64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20;
constexpr uint32_t kIn64 = 0xffffffff;  // the value is in the 64-bit extension

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> archive, const std::string& file) : archive_(archive), file_(file) {}

  std::map<std::string, std::span<const std::byte>> read() {
    find_directory();
    std::map<std::string, std::span<const std::byte>> members;
    uint64_t at = directory_;
    for (uint64_t i = 0; i < count_; ++i) {
      const Entry entry = read_entry(at);
      if (!members.emplace(entry.name, archive_.subspan(entry.begin, entry.size)).second) {
        fail("member " + printable(entry.name) + " occurs twice");
      }
      extents_.emplace_back(entry.header, entry.begin + entry.size);
    }
    if (at != directory_ + directory_bytes_) fail("its directory is not as long as it says");
    std::sort(extents_.begin(), extents_.end());
    for (size_t i = 1; i < extents_.size(); ++i) {
      if (extents_[i].first < extents_[i - 1].second) fail("its members overlap");
    }
    return members;
  }

 private:
  struct Entry {
    std::string name;
    uint64_t header = 0, begin = 0, size = 0;
  };

  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorKind::kModel, file_ + ": " + what); }

  // A little-endian number; the range is checked.
  template <class T> T get(uint64_t at) const {
    T value = 0;
    if (at > archive_.size() || sizeof(T) > archive_.size() - at) fail("is cut short (is it complete?)");
    std::memcpy(&value, archive_.data() + at, sizeof(T));
    return value;
  }
  bool within(uint64_t begin, uint64_t size, uint64_t end) const { return begin <= end && size <= end - begin; }

  // The end record closes the archive; only a comment of at most 64 KiB may follow it.
  uint64_t find_end() const {
    if (archive_.size() >= kEndBytes) {
      const uint64_t last = archive_.size() - kEndBytes, first = last > 0xffff ? last - 0xffff : 0;
      for (uint64_t at = last + 1; at-- > first;) {
        if (get<uint32_t>(at) == kEnd && at + kEndBytes + get<uint16_t>(at + 20) == archive_.size()) return at;
      }
    }
    fail("is cut short: the directory at the end of a zip file is missing (is it complete?)");
  }

  void find_directory() {
    const uint64_t end = find_end();
    count_ = get<uint16_t>(end + 10);
    directory_bytes_ = get<uint32_t>(end + 12);
    directory_ = get<uint32_t>(end + 16);
    if (get<uint16_t>(end + 4) != get<uint16_t>(end + 6)) fail("is one part of a zip file of many parts");
    if (end >= kLocatorBytes && get<uint32_t>(end - kLocatorBytes) == kEnd64Locator) {
      const uint64_t end64 = get<uint64_t>(end - kLocatorBytes + 8);
      if (!within(end64, kEnd64Bytes, end) || get<uint32_t>(end64) != kEnd64) fail("its 64-bit zip directory is damaged");
      count_ = get<uint64_t>(end64 + 32);
      directory_bytes_ = get<uint64_t>(end64 + 40);
      directory_ = get<uint64_t>(end64 + 48);
    }
    if (!within(directory_, directory_bytes_, end) || count_ > directory_bytes_ / kCentralBytes) fail("its zip directory is damaged");
  }

  // The directory's record at `at`, which moves behind it. Sizes in the local header may be zero, its lengths of name and extra field
  // count.
  Entry read_entry(uint64_t& at) const {
    const uint64_t end = directory_ + directory_bytes_;
    if (!within(at, kCentralBytes, end) || get<uint32_t>(at) != kCentralHeader) fail("its zip directory is damaged");
    const uint16_t flags = get<uint16_t>(at + 8), method = get<uint16_t>(at + 10);
    const uint64_t name_bytes = get<uint16_t>(at + 28), extra_bytes = get<uint16_t>(at + 30), comment_bytes = get<uint16_t>(at + 32);
    if (!within(at, kCentralBytes + name_bytes + extra_bytes + comment_bytes, end)) fail("its zip directory is damaged");

    Entry entry;
    entry.name = text(at + kCentralBytes, name_bytes);
    const std::string shown = "member " + printable(entry.name);
    if (flags & 1) fail(shown + " is encrypted");
    if (method != 0) fail(shown + " is compressed, which torch.save never does; refused");
    uint64_t size = get<uint32_t>(at + 24), stored = get<uint32_t>(at + 20);
    entry.header = get<uint32_t>(at + 42);
    read_extension(at + kCentralBytes + name_bytes, extra_bytes, {&size, &stored, &entry.header});
    if (size != stored) fail(shown + " has two different sizes");
    if (!within(entry.header, kLocalBytes, directory_) || get<uint32_t>(entry.header) != kLocalHeader) fail(shown + " has no header");
    const uint64_t local_name = get<uint16_t>(entry.header + 26);
    entry.begin = entry.header + kLocalBytes + local_name + get<uint16_t>(entry.header + 28);
    entry.size = size;
    if (!within(entry.begin, entry.size, directory_)) fail(shown + " reaches beyond the data of the file (is it complete?)");
    if (local_name != name_bytes || text(entry.header + kLocalBytes, local_name) != entry.name)
      fail(shown + " has another name in its header");
    at += kCentralBytes + name_bytes + extra_bytes + comment_bytes;
    return entry;
  }

  // The 64-bit extension holds, in this order, those of the values that did not fit into 32 bits.
  void read_extension(uint64_t at, uint64_t bytes, std::initializer_list<uint64_t*> values) const {
    const uint64_t end = at + bytes;
    while (within(at, 4, end)) {
      const uint64_t size = get<uint16_t>(at + 2);
      if (get<uint16_t>(at) == 1) {
        uint64_t field = at + 4;
        const uint64_t field_end = std::min(end, field + size);
        for (uint64_t* value : values) {
          if (*value != kIn64 || !within(field, 8, field_end)) continue;
          *value = get<uint64_t>(field);
          field += 8;
        }
        return;
      }
      at += 4 + size;
    }
  }

  std::string text(uint64_t at, uint64_t bytes) const { return std::string(reinterpret_cast<const char*>(archive_.data()) + at, bytes); }

  std::span<const std::byte> archive_;
  const std::string& file_;
  uint64_t directory_ = 0, directory_bytes_ = 0, count_ = 0;
  std::vector<std::pair<uint64_t, uint64_t>> extents_;
};

}  // namespace

std::map<std::string, std::span<const std::byte>> stored_members(std::span<const std::byte> archive, const std::string& file) {
  return ZipReader(archive, file).read();
}

}  // namespace linea
