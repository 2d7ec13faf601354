#include "core/json.h"

#include <cmath>
#include <limits>

#include "core/mapped_file.h"
#include "core/text.h"

namespace linea {
namespace {

constexpr size_t kMaxDepth = 64;  // model folders need six

// Python's three bare tokens, each replaced by a number of the same length (so that columns stay true) that the text does not contain.
struct BareToken {
  std::string_view name;
  double value;
  std::string literal;  // empty while the token has not been met
};

// A number such as 0e17 that no part of the text equals. Longer than asked for only if every shorter one occurs.
std::string unused_literal(std::string_view text, size_t length) {
  for (size_t digits = length - 2;; ++digits) {
    const int most = static_cast<int>(std::pow(10, std::min<size_t>(digits, 4)));
    for (int i = 0; i < most; ++i) {
      std::string number = std::to_string(i);
      number.insert(0, digits - number.size(), '0');
      const std::string literal = "0e" + number;
      if (text.find(literal) == std::string_view::npos) return literal;
    }
  }
}

// Replaces the bare tokens outside strings. Other misspelt words are left for the parser to report.
std::string replace_bare_tokens(std::string_view text, std::vector<BareToken>& tokens) {
  std::string result(text);
  bool in_string = false;
  for (size_t i = 0, out = 0; i < text.size(); ++i, ++out) {
    if (in_string) {
      if (text[i] == '\\') {
        ++i, ++out;
      } else if (text[i] == '"') {
        in_string = false;
      }
      continue;
    }
    in_string = text[i] == '"';
    for (BareToken& token : tokens) {
      if (text.compare(i, token.name.size(), token.name) != 0) continue;
      if (token.literal.empty()) token.literal = unused_literal(text, token.name.size());
      result.replace(out, token.name.size(), token.literal);
      i += token.name.size() - 1;
      out += token.literal.size() - 1;
      break;
    }
  }
  return result;
}

// Builds the tree from parser events, which lets us bound the depth and see repeated keys.
class TreeBuilder : public nlohmann::json_sax<Json> {
 public:
  TreeBuilder(const std::string& source, ErrorKind kind, const std::vector<BareToken>& tokens)
      : source_(source), kind_(kind), tokens_(tokens) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(int64_t value) override { return add(value); }
  bool number_unsigned(uint64_t value) override { return add(value); }
  bool number_float(double value, const std::string& written) override {
    for (const BareToken& token : tokens_) {
      if (written == token.literal) return add(token.value);
    }
    return add(value);
  }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(Json::binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    const auto [slot, fresh] = open_.back()->emplace(name, nullptr);
    if (!fresh) throw Error(kind_, source_ + ": key \"" + printable(name) + "\" appears twice");
    slot_ = &*slot;
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error …"
    std::string what = error.what();
    for (const char* prefix : {"] ", "parse error at ", "parse error: "}) {
      if (const size_t at = what.find(prefix); at != std::string::npos) what.erase(0, at + std::string_view(prefix).size());
    }
    throw Error(kind_, source_ + ": " + printable(what, 240));
  }

 private:
  template <class Value> bool add(Value&& value) {
    place(Json(std::forward<Value>(value)));
    return true;
  }

  Json* place(Json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    Json& parent = *open_.back();
    if (parent.is_object()) return &(*slot_ = std::move(value));
    parent.push_back(std::move(value));
    return &parent.back();
  }

  bool open(Json container) {
    if (open_.size() == kMaxDepth) throw Error(kind_, source_ + ": nested deeper than " + std::to_string(kMaxDepth));
    open_.push_back(place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& source_;
  ErrorKind kind_;
  const std::vector<BareToken>& tokens_;
  Json root_;
  Json* slot_ = nullptr;     // where the value of the last key goes
  std::vector<Json*> open_;  // from the root to the innermost open container; parents do not move while a child is open
};

std::string shown(const Json& value) { return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60); }

}  // namespace

Json parse_json(std::string_view text, const std::string& source_name, ErrorKind kind) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<BareToken> tokens{
      {"NaN", std::numeric_limits<double>::quiet_NaN(), {}}, {"-Infinity", -kInfinity, {}}, {"Infinity", kInfinity, {}}};
  std::string replaced;
  if (text.find("NaN") != std::string_view::npos || text.find("Infinity") != std::string_view::npos) {
    replaced = replace_bare_tokens(text, tokens);
    text = replaced;
  }
  const std::string source = printable(source_name, 4096);
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {  // the parser would take it for the end
    throw Error(kind, source + ": byte " + std::to_string(nul) + " is NUL");
  }
  TreeBuilder builder(source, kind, tokens);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) throw Error(kind, source + ": not JSON");
  return builder.take();
}

Json read_json_file(const std::filesystem::path& path, int64_t max_bytes, ErrorKind kind) {
  return parse_json(read_file(path, max_bytes, kind), path.string(), kind);
}

Config::Config(Json object, std::string source) : object_(std::move(object)), source_(std::move(source)) {
  if (!object_.is_object()) throw Error(ErrorKind::kModel, source_ + ": expected a JSON object, found " + shown(object_));
}

Config Config::read(const std::filesystem::path& path) { return Config(read_json_file(path), path.string()); }

void Config::fail(const std::string& key, const std::string& what) const {
  throw Error(ErrorKind::kModel, printable(source_, 4096) + ": " + printable(key) + ": " + what);
}

bool Config::has(const std::string& key) const {
  const auto found = object_.find(key);
  return found != object_.end() && !found->is_null();
}

const Json& Config::at(const std::string& key) const {
  if (!has(key)) fail(key, "is missing");
  return *object_.find(key);
}

namespace {

// The value as an integer, when it is one; Python writes some integers as 8.0.
bool to_integer(const Json& value, int64_t* result) {
  if (value.is_number_unsigned()) {
    if (value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return false;
    *result = value.get<int64_t>();
    return true;
  }
  if (value.is_number_integer()) {
    *result = value.get<int64_t>();
    return true;
  }
  if (!value.is_number_float()) return false;
  const double number = value.get<double>();
  if (!(std::abs(number) <= 0x1p53) || number != std::floor(number)) return false;
  *result = static_cast<int64_t>(number);
  return true;
}

}  // namespace

int64_t Config::integer(const std::string& key, int64_t minimum, int64_t maximum) const {
  const Json& value = at(key);
  int64_t result = 0;
  if (!to_integer(value, &result) || result < minimum || result > maximum) {
    fail(key, "expected an integer between " + std::to_string(minimum) + " and " + std::to_string(maximum) + ", found " + shown(value));
  }
  return result;
}

int64_t Config::integer(const std::string& key, int64_t minimum, int64_t maximum, int64_t fallback) const {
  return has(key) ? integer(key, minimum, maximum) : fallback;
}

double Config::number(const std::string& key) const {
  const Json& value = at(key);
  if (!value.is_number()) fail(key, "expected a number, found " + shown(value));
  return value.get<double>();
}

double Config::number(const std::string& key, double fallback) const { return has(key) ? number(key) : fallback; }

bool Config::boolean(const std::string& key, bool fallback) const {
  if (!has(key)) return fallback;
  const Json& value = at(key);
  if (!value.is_boolean()) fail(key, "expected true or false, found " + shown(value));
  return value.get<bool>();
}

std::string Config::text(const std::string& key) const {
  const Json& value = at(key);
  if (!value.is_string()) fail(key, "expected a string, found " + shown(value));
  return value.get<std::string>();
}

std::string Config::text(const std::string& key, const std::string& fallback) const { return has(key) ? text(key) : fallback; }

std::vector<int64_t> Config::integers(const std::string& key) const {
  const Json& value = at(key);
  if (!value.is_array()) fail(key, "expected a list of integers, found " + shown(value));
  std::vector<int64_t> result;
  for (const Json& element : value) {
    if (!to_integer(element, &result.emplace_back())) fail(key, "expected a list of integers, found " + shown(value));
  }
  return result;
}

}  // namespace linea
