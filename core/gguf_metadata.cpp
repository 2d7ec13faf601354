// core/gguf_metadata.cpp: metadata by what it means, whatever width its writer chose.
#include <optional>
#include <type_traits>
#include <utility>

#include "core/gguf.h"
#include "core/text.h"

namespace linea {
namespace {

template <class T> constexpr bool is_integer_v = std::is_integral_v<T> && !std::is_same_v<T, bool>;

}  // namespace

void GgufFile::fail(const std::string& key, const std::string& what) const {
  throw Error(ErrorKind::kModel, printable(path_.string(), 4096) + ": key " + printable(key) + " " + what);
}

const GgufValue& GgufFile::find(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) fail(key, "is missing");
  return found->second;
}

int64_t GgufFile::integer(const std::string& key) const {
  const auto read = [](const auto& value) -> std::optional<int64_t> {
    if constexpr (is_integer_v<std::decay_t<decltype(value)>>) {
      if (std::in_range<int64_t>(value)) return static_cast<int64_t>(value);
    }
    return std::nullopt;
  };
  const std::optional<int64_t> value = std::visit(read, find(key));
  if (!value) fail(key, "is not an integer of 64 bits");
  return *value;
}

double GgufFile::number(const std::string& key) const {
  const auto read = [](const auto& value) -> std::optional<double> {
    using T = std::decay_t<decltype(value)>;
    if constexpr (is_integer_v<T> || std::is_floating_point_v<T>) return static_cast<double>(value);
    return std::nullopt;
  };
  const std::optional<double> value = std::visit(read, find(key));
  if (!value) fail(key, "is not a number");
  return *value;
}

bool GgufFile::boolean(const std::string& key) const {
  const bool* value = std::get_if<bool>(&find(key));
  if (!value) fail(key, "is not a truth value");
  return *value;
}

const std::string& GgufFile::text(const std::string& key) const {
  const std::string* value = std::get_if<std::string>(&find(key));
  if (!value) fail(key, "is not a text");
  return *value;
}

const std::vector<std::string>& GgufFile::texts(const std::string& key) const {
  const auto* value = std::get_if<std::vector<std::string>>(&find(key));
  if (!value) fail(key, "is not a list of texts");
  return *value;
}

}  // namespace linea
