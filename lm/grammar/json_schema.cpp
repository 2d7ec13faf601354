#include "lm/grammar/json_schema.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "core/json.h"
#include "core/text.h"
#include "lm/grammar/gbnf_text.h"
#include "lm/grammar/schema_overlap.h"
#include "lm/grammar/schema_pattern.h"
#include "tokenizers/unicode/utf8.h"

namespace linea {
namespace {

using Schema = nlohmann::ordered_json;

constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kMaxGrammar = 4 << 20;
constexpr size_t kMaxRules = 20'000;
constexpr int64_t kMaxCount = 10'000;  // of items and characters
constexpr int kMaxDepth = 100;

// What every grammar may use. A string is one rule, so that what is known about its inside serves everywhere.
constexpr const char* kCommon = R"gbnf(
ws ::= [ ]?
char ::= [^"\\\x00-\x1f\x7f] | "\\" (["\\/bfnrt] | "u00" [0-7] [0-9a-fA-F])
string ::= "\"" char* "\""
integer ::= "-"? ("0" | [1-9] [0-9]{0,15})
number ::= integer ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?
boolean ::= "true" | "false"
null ::= "null"
value ::= string | number | object | array | boolean | null
object ::= "{" (string ":" ws value ("," ws string ":" ws value)*)? "}"
array ::= "[" (value ("," ws value)*)? "]"
)gbnf";

const std::set<std::string> kRefused = {"not",
                                        "if",
                                        "then",
                                        "else",
                                        "dependentRequired",
                                        "dependentSchemas",
                                        "dependencies",
                                        "contains",
                                        "minContains",
                                        "maxContains",
                                        "propertyNames",
                                        "patternProperties",
                                        "unevaluatedProperties",
                                        "unevaluatedItems",
                                        "additionalItems",
                                        "$dynamicRef",
                                        "$recursiveRef"};

const std::vector<std::string> kTypes = {"string", "number", "integer", "object", "array", "boolean", "null"};

std::string type_of(const Schema& value) {
  if (value.is_string()) return "string";
  if (value.is_number()) {
    const bool whole = !value.is_number_float() || value.get<double>() == std::floor(value.get<double>());
    return whole ? "integer" : "number";
  }
  if (value.is_object()) return "object";
  if (value.is_array()) return "array";
  return value.is_boolean() ? "boolean" : "null";
}

class SchemaCompiler {
 public:
  SchemaCompiler(std::string_view text, std::string source) : source_(std::move(source)) {
    if (text.size() > kMaxBytes) throw Error(ErrorKind::kUsage, source_ + ": is larger than 1 MiB");
    parse_json(text, source_, ErrorKind::kUsage);  // for its checks: depth, repeated keys
    root_ = Schema::parse(text, nullptr, /*allow_exceptions=*/false);
    if (root_.is_discarded()) throw Error(ErrorKind::kUsage, source_ + ": holds NaN or Infinity, which JSON does not have");
  }

  std::string compile() {
    const std::string body = visit(root_, "#", 0);
    std::string text = "root ::= " + body + "\n";
    for (const auto& [name, rule] : rules_) text += name + " ::= " + rule + "\n";
    return text + kCommon;
  }

 private:
  [[noreturn]] void fail(const std::string& path, const std::string& what) const {
    throw Error(ErrorKind::kUsage, source_ + ": " + printable(path, 200) + ": " + what);
  }

  std::string add_rule(const std::string& body) {
    const std::string name = "r" + std::to_string(++names_);
    rules_[name] = body;
    size_ += body.size();
    if (rules_.size() > kMaxRules || size_ > kMaxGrammar) throw Error(ErrorKind::kUsage, source_ + ": its grammar would be too large");
    return name;
  }

  // ---- Any schema ----

  std::string visit(const Schema& schema, const std::string& path, int depth) {
    if (depth > kMaxDepth) fail(path, "is nested too deeply");
    if (schema.is_boolean()) {
      if (!schema.get<bool>()) fail(path, "false allows no value");
      return "value";
    }
    if (!schema.is_object()) fail(path, "expected an object, true or false");
    for (const auto& [key, unused] : schema.items()) {
      if (kRefused.contains(key)) fail(path, "'" + key + "' is not supported");
    }
    if (schema.contains("$ref")) return reference(schema, path, depth);
    if (schema.contains("enum") || schema.contains("const")) return constants(schema, path);
    for (const char* key : {"anyOf", "oneOf"}) {
      if (schema.contains(key)) return choice(schema, key, path, depth);
    }
    if (schema.contains("allOf")) return visit(merged_all(schema, path, depth), path, depth + 1);
    std::vector<std::string> alternatives;
    for (const std::string& type : types_of(schema, path)) alternatives.push_back(of_type(schema, type, path, depth));
    return gbnf_any_of(alternatives);
  }

  std::vector<std::string> types_of(const Schema& schema, const std::string& path) const {
    if (!schema.contains("type")) {
      for (const char* key : {"properties", "required", "additionalProperties"}) {
        if (schema.contains(key)) return {"object"};
      }
      for (const char* key : {"items", "prefixItems", "minItems", "maxItems"}) {
        if (schema.contains(key)) return {"array"};
      }
      for (const char* key : {"minLength", "maxLength", "pattern", "format"}) {
        if (schema.contains(key)) return {"string"};
      }
      for (const char* key : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}) {
        if (schema.contains(key)) return {"number"};
      }
      return {"any"};
    }
    const Schema& type = schema.at("type");
    std::vector<std::string> types;
    for (const Schema& entry : type.is_array() ? type : Schema::array({type})) {
      const std::string name = entry.is_string() ? entry.get<std::string>() : "";
      if (std::find(kTypes.begin(), kTypes.end(), name) == kTypes.end()) fail(path, "unknown type " + printable(entry.dump(), 40));
      types.push_back(name);
    }
    if (types.empty()) fail(path, "type is an empty list");
    return types;
  }

  std::string of_type(const Schema& schema, const std::string& type, const std::string& path, int depth) {
    if (type == "any") return "value";
    if (type == "string") return string(schema, path);
    if (type == "integer") return integer(schema, path);
    if (type == "number") return number(schema, path);
    if (type == "object") return object(schema, path, depth);
    if (type == "array") return array(schema, path, depth);
    return type;  // boolean, null
  }

  // ---- References, constants, combinations ----

  const Schema& resolve(const std::string& reference, const std::string& path) const {
    if (reference == "#") return root_;
    if (!reference.starts_with("#/")) fail(path, "$ref '" + printable(reference, 80) + "': only references into this schema (#/…) work");
    const Schema* at = &root_;
    for (size_t begin = 2; begin <= reference.size();) {
      const size_t end = std::min(reference.find('/', begin), reference.size());
      std::string key = reference.substr(begin, end - begin);
      for (const auto& [escape, plain] : {std::pair("~1", "/"), std::pair("~0", "~")}) {
        for (size_t i = 0; (i = key.find(escape, i)) != std::string::npos; ++i) key.replace(i, 2, plain);
      }
      if (at->is_object() && at->contains(key)) {
        at = &at->at(key);
      } else if (const size_t index = std::strtoull(key.c_str(), nullptr, 10); at->is_array() && index < at->size()) {
        at = &at->at(index);
      } else {
        fail(path, "$ref '" + printable(reference, 80) + "' leads nowhere");
      }
      begin = end + 1;
    }
    return *at;
  }

  std::string reference(const Schema& schema, const std::string& path, int depth) {
    if (!schema.at("$ref").is_string()) fail(path, "$ref is not a text");
    const std::string target = schema.at("$ref").get<std::string>();
    for (const auto& [key, unused] : schema.items()) {
      if (key != "$ref" && key != "$defs" && key != "definitions" && !is_annotation(key)) {
        fail(path, "'" + key + "' beside $ref is not supported");
      }
    }
    const auto [slot, fresh] = references_.try_emplace(target, "ref" + std::to_string(references_.size() + 1));
    const std::string name = slot->second;
    if (fresh) rules_[name] = visit(resolve(target, path), target, depth + 1);
    return name;
  }

  static bool is_annotation(const std::string& key) {
    static const std::set<std::string> kAnnotations = {"title",      "description", "default",   "examples", "$comment",
                                                       "deprecated", "readOnly",    "writeOnly", "$schema",  "$id"};
    return kAnnotations.contains(key);
  }

  std::string constants(const Schema& schema, const std::string& path) const {
    Schema values = Schema::array();
    if (schema.contains("const")) {
      values.push_back(schema.at("const"));
    } else {
      values = schema.at("enum");
      if (!values.is_array() || values.empty()) fail(path, "enum is not a list of values");
    }
    for (const auto& [key, unused] : schema.items()) {
      if (key != "enum" && key != "const" && key != "type" && !is_annotation(key)) fail(path, "'" + key + "' beside enum is not supported");
    }
    std::vector<std::string> alternatives;
    for (const Schema& value : values) {
      if (schema.contains("type")) {
        const std::vector<std::string> types = types_of(schema, path);
        const std::string type = type_of(value);
        const bool fits = std::find(types.begin(), types.end(), type) != types.end() ||
                          (type == "integer" && std::find(types.begin(), types.end(), "number") != types.end());
        if (!fits) continue;
      }
      alternatives.push_back(gbnf_literal(value.dump()));
    }
    if (alternatives.empty()) fail(path, "no value of enum has the type");
    return gbnf_any_of(alternatives);
  }

  // Keywords beside anyOf hold for every alternative. Of oneOf's, those are written whose values fit no other for certain.
  std::string choice(const Schema& schema, const char* keyword, const std::string& path, int depth) {
    const Schema& options = schema.at(keyword);
    if (!options.is_array() || options.empty()) fail(path, std::string(keyword) + " is not a list of schemas");
    Schema base = schema;
    base.erase(keyword);
    bool plain = true;
    for (const auto& [key, unused] : base.items()) plain &= is_annotation(key) || key == "$defs" || key == "definitions";
    std::vector<std::string> alternatives;
    for (size_t i = 0; i < options.size(); ++i) {
      const std::string where = path + "/" + keyword + "/" + std::to_string(i);
      const Schema option = plain ? options[i] : merge(base, expanded(options[i], where, depth), where);
      if (std::string_view(keyword) == "oneOf" && !fits_no_other(option, options, i, path)) continue;
      alternatives.push_back(visit(option, where, depth + 1));
    }
    if (alternatives.empty()) fail(path, "oneOf: every alternative's values might fit another one too; tell them apart, or say anyOf");
    return add_rule(gbnf_any_of(alternatives));
  }

  // Of the options, number `index` is the one that `written` stands for.
  bool fits_no_other(const Schema& written, const Schema& options, size_t index, const std::string& path) const {
    const SchemaOverlap overlap([&](const std::string& reference) -> const Schema& { return resolve(reference, path); });
    for (size_t i = 0; i < options.size(); ++i) {
      if (i != index && !overlap.never(written, options[i])) return false;
    }
    return true;
  }

  // The schema that a reference stands for.
  const Schema& expanded(const Schema& schema, const std::string& path, int depth) const {
    const Schema* at = &schema;
    for (int i = 0; at->is_object() && at->contains("$ref"); ++i) {
      if (i + depth > kMaxDepth || !at->at("$ref").is_string()) fail(path, "its references go in a circle");
      at = &resolve(at->at("$ref").get<std::string>(), path);
    }
    return *at;
  }

  Schema merged_all(const Schema& schema, const std::string& path, int depth) const {
    const Schema& parts = schema.at("allOf");
    if (!parts.is_array() || parts.empty()) fail(path, "allOf is not a list of schemas");
    Schema result = schema;
    result.erase("allOf");
    for (size_t i = 0; i < parts.size(); ++i) {
      const std::string where = path + "/allOf/" + std::to_string(i);
      result = merge(result, expanded(parts[i], where, depth), where);
    }
    return result;
  }

  // Both schemas at once: objects' properties and requirements are united; other keywords must not contradict each other.
  Schema merge(Schema base, const Schema& more, const std::string& path) const {
    if (more.is_boolean() && more.get<bool>()) return base;
    if (!more.is_object()) fail(path, "expected an object");
    for (const auto& [key, value] : more.items()) {
      if (is_annotation(key) || key == "$defs" || key == "definitions") continue;
      if (!base.contains(key) || base.at(key) == value) {
        base[key] = value;
      } else if (key == "properties" && value.is_object() && base.at(key).is_object()) {
        for (const auto& [name, property] : value.items()) {
          Schema& slot = base[key][name];
          slot = slot.is_null() ? property : merge(slot, property, path + "/properties/" + name);
        }
      } else if (key == "required" && value.is_array() && base.at(key).is_array()) {
        for (const Schema& name : value) base[key].push_back(name);
      } else {
        fail(path, "'" + key + "' contradicts or doubles another schema's; merging it is not supported");
      }
    }
    return base;
  }

  // ---- Strings and numbers ----

  int64_t count(const Schema& schema, const char* key, int64_t fallback, const std::string& path) const {
    if (!schema.contains(key)) return fallback;
    const Schema& value = schema.at(key);
    const double number = value.is_number() ? value.get<double>() : -1;
    if (number < 0 || number != std::floor(number) || number > static_cast<double>(kMaxCount)) {
      fail(path, std::string(key) + ": expected a whole number from 0 to " + std::to_string(kMaxCount));
    }
    return static_cast<int64_t>(number);
  }

  std::string string(const Schema& schema, const std::string& path) {
    const int64_t least = count(schema, "minLength", 0, path), most = count(schema, "maxLength", -1, path);
    if (most >= 0 && most < least) fail(path, "maxLength is smaller than minLength");
    const bool counted = least > 0 || most >= 0;
    if (schema.contains("pattern")) {
      if (counted) fail(path, "minLength and maxLength beside pattern are not supported; say it in the pattern");
      if (!schema.at("pattern").is_string()) fail(path, "pattern is not a text");
      return add_rule("\"\\\"\" " + pattern_to_gbnf(schema.at("pattern").get<std::string>(), source_ + ": " + path) + " \"\\\"\"");
    }
    if (schema.contains("format") && schema.at("format").is_string() && !counted) {
      if (const std::string text = format(schema.at("format").get<std::string>()); !text.empty()) return add_rule(text);
    }
    return counted ? add_rule("\"\\\"\" " + gbnf_repeat("char", least, most) + " \"\\\"\"") : "string";
  }

  static std::string format(const std::string& name) {
    const std::string date = R"([0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | "1" [0-9] | "2" [0-8]))";
    const std::string time =
        R"(([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("Z" | [+-] ("0" [0-9] | "1" [0-2]) ":" [0-5] [0-9]))";
    const auto quoted = [](const std::string& text) { return "\"\\\"\" " + text + " \"\\\"\""; };
    if (name == "date") return quoted(date);
    if (name == "time") return quoted(time);
    if (name == "date-time") return quoted(date + " \"T\" " + time);
    if (name == "uuid") return quoted(R"([0-9a-f]{8} ("-" [0-9a-f]{4}){3} "-" [0-9a-f]{12})");
    return {};
  }

  // The closed interval of a number, infinite where it is open. Exclusive ends are told apart for fractions only.
  struct Bounds {
    double low = -INFINITY, high = INFINITY;
    bool low_open = false, high_open = false;
  };

  Bounds bounds(const Schema& schema, const std::string& path) const {
    Bounds b;
    const auto read = [&](const char* key) -> std::optional<double> {
      if (!schema.contains(key)) return std::nullopt;
      if (!schema.at(key).is_number()) fail(path, std::string(key) + ": expected a number");
      return schema.at(key).get<double>();
    };
    if (const auto value = read("minimum")) b.low = *value;
    if (const auto value = read("exclusiveMinimum"); value && *value >= b.low) b.low = *value, b.low_open = true;
    if (const auto value = read("maximum")) b.high = *value;
    if (const auto value = read("exclusiveMaximum"); value && *value <= b.high) b.high = *value, b.high_open = true;
    if (b.low > b.high || (b.low == b.high && (b.low_open || b.high_open))) fail(path, "no number lies within its bounds");
    for (const double end : {b.low, b.high}) {
      if (std::isfinite(end) && std::abs(end) > 1e15) fail(path, "bounds beyond 1e15 are not supported");
    }
    return b;
  }

  std::string integer(const Schema& schema, const std::string& path) {
    const Bounds b = bounds(schema, path);
    const bool has_low = std::isfinite(b.low), has_high = std::isfinite(b.high);
    const auto low = has_low ? static_cast<int64_t>(std::ceil(b.low)) + (b.low_open && b.low == std::ceil(b.low)) : 0;
    const auto high = has_high ? static_cast<int64_t>(std::floor(b.high)) - (b.high_open && b.high == std::floor(b.high)) : 0;
    if (has_low && has_high && low > high) fail(path, "no whole number lies within its bounds");
    if (schema.contains("multipleOf")) return multiples(schema, path, b);
    if (has_low && has_high) return add_rule(gbnf_integers(low, high));
    if (has_low) return add_rule(gbnf_integers_from(low));
    return has_high ? add_rule(gbnf_integers_to(high)) : "integer";
  }

  // All of them, one by one.
  std::string multiples(const Schema& schema, const std::string& path, const Bounds& b) {
    const Schema& step = schema.at("multipleOf");
    const double value = step.is_number() ? step.get<double>() : 0;
    if (value < 1 || value != std::floor(value)) fail(path, "multipleOf: only whole numbers are supported");
    if (value == 1) {
      Schema plain = schema;
      plain.erase("multipleOf");
      return integer(plain, path);
    }
    const double first = std::ceil(b.low / value), last = std::floor(b.high / value);
    if (!std::isfinite(first) || !std::isfinite(last) || last - first > 10'000) {
      fail(path, "multipleOf needs a minimum and a maximum with at most 10000 multiples between them");
    }
    std::vector<std::string> alternatives;
    for (double k = first; k <= last; ++k) {
      const double multiple = k * value;
      if ((b.low_open && multiple == b.low) || (b.high_open && multiple == b.high)) continue;
      alternatives.push_back(gbnf_literal(std::to_string(static_cast<int64_t>(multiple))));
    }
    if (alternatives.empty()) fail(path, "no multiple lies within its bounds");
    return add_rule(gbnf_any_of(alternatives));
  }

  // Whole numbers inside the bounds, with any fraction where the next whole number away from zero is inside too; between two whole numbers,
  // decimals of a fixed number of places.
  std::string number(const Schema& schema, const std::string& path) {
    const Bounds b = bounds(schema, path);
    if (schema.contains("multipleOf")) return multiples(schema, path, b);
    const bool has_low = std::isfinite(b.low), has_high = std::isfinite(b.high);
    if (!has_low && !has_high) return "number";
    const std::string fraction = R"gbnf(("." [0-9]{1,15})?)gbnf";
    std::vector<std::string> alternatives;
    const auto low = has_low ? static_cast<int64_t>(std::ceil(b.low)) + (b.low_open && b.low == std::ceil(b.low)) : 0;
    const auto high = has_high ? static_cast<int64_t>(std::floor(b.high)) - (b.high_open && b.high == std::floor(b.high)) : 0;
    if (!has_high) {
      if (low < 0) alternatives.push_back(gbnf_integers(low + 1, -1) + " " + fraction);
      if (low < 0) alternatives.push_back(gbnf_literal(std::to_string(low)));
      alternatives.push_back(gbnf_integers_from(std::max<int64_t>(low, 0)) + " " + fraction);
      if (low == -1) alternatives.erase(alternatives.begin());
    } else if (!has_low) {
      if (high > 0) alternatives.push_back(gbnf_integers(0, high - 1) + " " + fraction);
      if (high >= 0) alternatives.push_back(gbnf_literal(std::to_string(high)));
      alternatives.push_back(gbnf_integers_to(std::min<int64_t>(high, -1)) + " " + fraction);
    } else {
      if (low <= high) alternatives.push_back(gbnf_integers(low, high));
      if (const int64_t first = std::max<int64_t>(low, 0); first < high)
        alternatives.push_back(gbnf_integers(first, high - 1) + " " + fraction);
      if (const int64_t last = std::min<int64_t>(high, 0); low + 1 < last)
        alternatives.push_back(gbnf_integers(low + 1, last - 1) + " " + fraction);
      if (low >= high) alternatives.push_back(decimals(b, path));
    }
    return add_rule(gbnf_any_of(alternatives));
  }

  std::string decimals(const Bounds& b, const std::string& path) const {
    double scale = 1;
    for (int places = 1; places <= 12; ++places) {
      scale *= 10;
      const double first = std::ceil(b.low * scale), last = std::floor(b.high * scale);
      if (last - first < 20 && places < 12) continue;
      std::vector<std::string> alternatives;
      for (double k = first; k <= last && alternatives.size() < 1000; ++k) {
        char text[48];
        std::snprintf(text, sizeof text, "%.*f", places, k / scale);
        const double value = std::strtod(text, nullptr);
        if (value > b.low && value < b.high) alternatives.push_back(gbnf_literal(text));
      }
      if (!alternatives.empty()) return gbnf_any_of(alternatives);
    }
    fail(path, "its bounds are too narrow");
  }

  // ---- Arrays and objects ----

  std::string array(const Schema& schema, const std::string& path, int depth) {
    const int64_t least = count(schema, "minItems", 0, path);
    int64_t most = count(schema, "maxItems", -1, path);
    if (most >= 0 && most < least) fail(path, "maxItems is smaller than minItems");
    if (schema.contains("uniqueItems") && schema.at("uniqueItems") == true && most != 0 && most != 1) {
      if (least > 1) fail(path, "uniqueItems with more than one item is not supported");
      most = 1;
    }
    Schema first = Schema::array(), rest = true;
    if (schema.contains("prefixItems")) first = schema.at("prefixItems");
    if (!first.is_array()) fail(path, "prefixItems is not a list");
    if (schema.contains("items")) rest = schema.at("items");
    if (rest.is_array()) first = rest, rest = true;  // the older form of prefixItems
    const bool closed = rest.is_boolean() && !rest.get<bool>();
    const auto prefixed = static_cast<int64_t>(first.size());
    if (closed || (prefixed > 0 && !schema.contains("items")))
      most = most < 0 ? std::max(prefixed, least) : std::min(most, closed ? prefixed : most);
    if (closed && least > prefixed) fail(path, "minItems asks for more items than the schema allows");
    if (most == 0) return "\"[]\"";

    // From the end: what may follow item i.
    std::string tail;
    const std::string item = most < 0 || most > prefixed ? visit(rest, path + "/items", depth + 1) : "";
    const int64_t need = std::max<int64_t>(least - prefixed, 0);
    if (!item.empty()) {
      if (prefixed == 0) {
        const std::string more = gbnf_repeat("\",\" ws " + item, std::max<int64_t>(least - 1, 0), most < 0 ? -1 : most - 1);
        const std::string some = item + " " + more;
        return add_rule("\"[\" " + (least == 0 ? "(" + some + ")?" : some) + " \"]\"");
      }
      tail = gbnf_repeat("\",\" ws " + item, need, most < 0 ? -1 : most - prefixed);
    }
    for (int64_t i = std::min(prefixed, most < 0 ? prefixed : most) - 1; i >= 0; --i) {
      const std::string one = visit(first.at(static_cast<size_t>(i)), path + "/prefixItems/" + std::to_string(i), depth + 1);
      tail = add_rule((i == 0 ? "" : "\",\" ws ") + one + " " + tail);
      if (i >= least) tail = add_rule("(" + tail + ")?");
    }
    return add_rule("\"[\" " + tail + " \"]\"");
  }

  struct Property {
    std::string pair;  // "name": value
    bool required;
  };

  std::string object(const Schema& schema, const std::string& path, int depth) {
    Schema properties = Schema::object();
    if (schema.contains("properties")) properties = schema.at("properties");
    if (!properties.is_object()) fail(path, "properties is not an object");
    std::set<std::string> required;
    if (schema.contains("required")) {
      if (!schema.at("required").is_array()) fail(path, "required is not a list of names");
      for (const Schema& name : schema.at("required")) {
        if (!name.is_string()) fail(path, "required is not a list of names");
        required.insert(name.get<std::string>());
      }
    }
    Schema more =
        schema.contains("additionalProperties") ? schema.at("additionalProperties") : Schema(properties.empty() && required.empty());
    const bool closed = schema.contains("additionalProperties") && more == false;
    for (const std::string& name : required) {
      if (properties.contains(name)) continue;
      if (closed) fail(path, "'" + printable(name, 80) + "' is required but not allowed");
      properties[name] = more.is_object() ? more : Schema(true);
    }
    const int64_t least = count(schema, "minProperties", 0, path), most = count(schema, "maxProperties", -1, path);
    if (least > static_cast<int64_t>(required.size())) fail(path, "minProperties beyond the required ones is not supported");
    if (most >= 0 && most < static_cast<int64_t>(required.size())) fail(path, "maxProperties is smaller than the number of required ones");
    if (most >= 0) more = false;

    std::vector<Property> list;
    std::vector<std::string> names;
    for (const auto& [name, property] : properties.items()) {
      names.push_back(name);
      const bool is_required = required.contains(name);
      if (!is_required && most >= 0 && static_cast<int64_t>(properties.size()) > most) continue;
      if (!is_required && property.is_boolean() && !property.get<bool>()) continue;
      list.push_back(
          {gbnf_literal(Schema(name).dump() + ":") + " ws " + visit(property, path + "/properties/" + name, depth + 1), is_required});
    }
    const bool open = !(more.is_boolean() && !more.get<bool>());
    const std::string extra = open ? other_name(names) + " \":\" ws " + visit(more, path + "/additionalProperties", depth + 1) : "";
    return add_rule("\"{\" " + members(list, extra) + " \"}\"");
  }

  // Two rules a property, built from the end: what may follow when something stands before (a comma is needed) and when nothing does.
  std::string members(const std::vector<Property>& list, const std::string& extra) {
    std::string after = "\"\"", first = "\"\"";
    if (!extra.empty()) {
      const std::string one = add_rule(extra);
      after = add_rule("(\",\" ws " + one + ")*");
      first = add_rule("(" + one + " " + after + ")?");
    }
    for (size_t i = list.size(); i-- > 0;) {
      const std::string pair = add_rule(list[i].pair);
      const std::string first_with = pair + " " + after, after_with = "\",\" ws " + pair + " " + after;
      first = add_rule(list[i].required ? first_with : first_with + " | " + first);
      after = add_rule(list[i].required ? after_with : after_with + " | " + after);
    }
    return first;
  }

  // A quoted name of letters, digits and underscores that is none of `names`: a walk through the tree of their beginnings.
  std::string other_name(const std::vector<std::string>& names) {
    std::set<std::string> plain;
    for (const std::string& name : names) {
      const bool simple = std::all_of(name.begin(), name.end(),
                                      [](char c) { return c == '_' || (std::isalnum(static_cast<unsigned char>(c)) != 0 && c > 0); });
      if (simple) plain.insert(name);
    }
    return "\"\\\"\" " + other_rest(plain, "") + " \"\\\"\"";
  }

  std::string other_rest(const std::set<std::string>& names, const std::string& prefix) {
    std::set<char> next;
    for (const std::string& name : names) {
      if (name.starts_with(prefix) && name.size() > prefix.size()) next.insert(name[prefix.size()]);
    }
    std::string others;
    for (const char c : std::string_view("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")) {
      if (!next.contains(c)) others += c;
    }
    std::vector<std::string> alternatives;
    if (!others.empty()) alternatives.push_back("[" + others + "] [0-9A-Za-z_]*");
    for (const char c : next) alternatives.push_back(gbnf_literal(std::string(1, c)) + " " + other_rest(names, prefix + c));
    if (!prefix.empty() && !names.contains(prefix)) alternatives.emplace_back("\"\"");
    return add_rule(gbnf_any_of(alternatives));
  }

  std::string source_;
  Schema root_;
  std::map<std::string, std::string> rules_, references_;
  size_t names_ = 0, size_ = 0;
};

}  // namespace

std::string json_schema_to_gbnf(std::string_view schema, const std::string& source) { return SchemaCompiler(schema, source).compile(); }

std::string any_json_gbnf() { return std::string("root ::= value\n") + kCommon; }

}  // namespace linea
