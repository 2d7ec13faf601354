// tests/core/torch_fixtures.h: zip files and pickles made by hand, for what torch.save would never write.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace linea::test {

template <class T> std::string little(T value) { return std::string(reinterpret_cast<const char*>(&value), sizeof(T)); }

struct ZipOptions {
  uint16_t method = 0, flags = 0;
  bool directory64 = false;  // counts and offsets in the 64-bit end record only
};

// A zip file of stored members, with the sizes in the directory alone as torch writes them.
inline std::string zip_of(const std::vector<std::pair<std::string, std::string>>& members, const ZipOptions& options = {}) {
  std::string file, directory;
  for (const auto& [name, data] : members) {
    const uint32_t offset = static_cast<uint32_t>(file.size()), size = static_cast<uint32_t>(data.size());
    const uint16_t length = static_cast<uint16_t>(name.size());
    const std::string kind = little(options.flags) + little(options.method) + std::string(8, '\0');  // … time, date, checksum
    file += "PK\x03\x04" + little<uint16_t>(20) + kind + std::string(8, '\0') + little(length) + little<uint16_t>(0) + name + data;
    directory += "PK\x01\x02" + little<uint32_t>(20) + kind + little(size) + little(size) + little(length) + std::string(12, '\0') +
                 little(offset) + name;
  }
  const uint64_t begin = file.size(), size = directory.size(), count = members.size();
  file += directory;
  if (options.directory64) {
    const uint64_t end = file.size();
    file += "PK\x06\x06" + little<uint64_t>(44) + little<uint32_t>(0) + little<uint64_t>(0) + little(count) + little(count) + little(size) +
            little(begin);
    file += "PK\x06\x07" + little<uint32_t>(0) + little(end) + little<uint32_t>(1);
    return file + "PK\x05\x06" + std::string(4, '\0') + std::string(12, '\xff') + little<uint16_t>(0);
  }
  return file + "PK\x05\x06" + std::string(4, '\0') + little(static_cast<uint16_t>(count)) + little(static_cast<uint16_t>(count)) +
         little(static_cast<uint32_t>(size)) + little(static_cast<uint32_t>(begin)) + little<uint16_t>(0);
}

// Pieces of pickles.
inline std::string text(const std::string& value) { return 'X' + little(static_cast<uint32_t>(value.size())) + value; }
inline std::string integer(int64_t value) { return std::string("\x8a\x08") + little(value); }
inline std::string tuple(const std::vector<int64_t>& values) {
  std::string result = "(";
  for (const int64_t value : values) result += integer(value);
  return result + "t";
}

struct TensorPickle {
  std::string storage = "FloatStorage", key = "0";
  int64_t elements = 4, offset = 0;
  std::vector<int64_t> size = {4}, stride = {1};
};

inline std::string pickled(const TensorPickle& t) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + t.storage + "\n" + text(t.key) + text("cpu") +
         integer(t.elements) + "tQ" + integer(t.offset) + tuple(t.size) + tuple(t.stride) + "\x89}tR";
}

// A dictionary with one entry.
inline std::string pickled_dict(const std::string& key, const std::string& value) { return '}' + text(key) + value + "s"; }

inline std::string pickle_of(const std::string& body) { return "\x80\x02" + body + "."; }

// A torch file with the given pickle and one storage "0" of 16 bytes.
inline std::string torch_file(const std::string& pickle) {
  return zip_of({{"archive/data.pkl", pickle}, {"archive/data/0", std::string("0123456789abcdef")}, {"archive/version", "3\n"}});
}

}  // namespace linea::test
