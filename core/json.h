// core/json.h: JSON files of model folders, with errors that name the file and the key.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace linea {

using Json = nlohmann::json;

// Parses a file of at most `max_bytes`. Accepts the bare tokens NaN, Infinity and -Infinity as Python's json writes them (they become
// numbers). Refuses nesting deeper than 64 and repeated keys. Throws `kind`: "FILE: line L, column C: what".
Json read_json_file(const std::filesystem::path& path, int64_t max_bytes = int64_t{256} << 20, ErrorKind kind = ErrorKind::kModel);
Json parse_json(std::string_view text, const std::string& source_name, ErrorKind kind = ErrorKind::kModel);

// A config object whose typed look-ups throw kModel naming file, key, expectation and value. A null counts as missing.
class Config {
 public:
  Config(Json object, std::string source);  // throws kModel when not an object
  static Config read(const std::filesystem::path& path);

  bool has(const std::string& key) const;                                           // present and not null
  int64_t integer(const std::string& key, int64_t minimum, int64_t maximum) const;  // required
  int64_t integer(const std::string& key, int64_t minimum, int64_t maximum, int64_t fallback) const;
  double number(const std::string& key) const;
  double number(const std::string& key, double fallback) const;
  bool boolean(const std::string& key, bool fallback) const;
  std::string text(const std::string& key) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  std::vector<int64_t> integers(const std::string& key) const;
  const Json& at(const std::string& key) const;  // throws kModel when missing
  const std::string& source() const { return source_; }
  [[noreturn]] void fail(const std::string& key, const std::string& what) const;  // "SOURCE: key: what"

 private:
  Json object_;
  std::string source_;
};

}  // namespace linea
