#include "lm/grammar/schema_overlap.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace linea {
namespace {

using Schema = SchemaOverlap::Schema;

constexpr int kMaxDepth = 12;

std::string type_of(const Schema& value) {
  if (value.is_string()) return "string";
  if (value.is_number()) return !value.is_number_float() || value.get<double>() == std::floor(value.get<double>()) ? "integer" : "number";
  if (value.is_object()) return "object";
  if (value.is_array()) return "array";
  return value.is_boolean() ? "boolean" : "null";
}

// Those of "type"; all of them where there is none.
std::set<std::string> types_of(const Schema& schema) {
  if (!schema.contains("type")) return {"string", "number", "integer", "object", "array", "boolean", "null"};
  std::set<std::string> types;
  for (const Schema& type : schema.at("type").is_array() ? schema.at("type") : Schema::array({schema.at("type")})) {
    if (type.is_string()) types.insert(type.get<std::string>());
  }
  if (types.contains("number")) types.insert("integer");
  return types;
}

double number_of(const Schema& schema, const char* key, double fallback) {
  return schema.contains(key) && schema.at(key).is_number() ? schema.at(key).get<double>() : fallback;
}

struct Interval {
  double low, high;
  bool low_open, high_open;
};

Interval numbers_of(const Schema& schema) {
  const double low = number_of(schema, "minimum", -INFINITY), above = number_of(schema, "exclusiveMinimum", -INFINITY);
  const double high = number_of(schema, "maximum", INFINITY), below = number_of(schema, "exclusiveMaximum", INFINITY);
  return {std::max(low, above), std::min(high, below), above >= low && std::isfinite(above), below <= high && std::isfinite(below)};
}

bool apart(const Interval& a, const Interval& b) {
  return a.high < b.low || b.high < a.low || (a.high == b.low && (a.high_open || b.low_open)) ||
         (b.high == a.low && (b.high_open || a.low_open));
}

bool apart(const Schema& a, const Schema& b, const char* least, const char* most) {
  return number_of(a, most, INFINITY) < number_of(b, least, 0) || number_of(b, most, INFINITY) < number_of(a, least, 0);
}

size_t characters(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::set<std::string> names_in(const Schema& schema, const char* key) {
  std::set<std::string> names;
  if (!schema.contains(key) || !schema.at(key).is_array()) return names;
  for (const Schema& name : schema.at(key)) {
    if (name.is_string()) names.insert(name.get<std::string>());
  }
  return names;
}

const Schema& properties_of(const Schema& schema) {
  static const Schema kNone = Schema::object();
  return schema.contains("properties") && schema.at("properties").is_object() ? schema.at("properties") : kNone;
}

bool is_false(const Schema& schema) { return schema.is_boolean() && !schema.get<bool>(); }
bool is_closed(const Schema& schema) { return schema.contains("additionalProperties") && is_false(schema.at("additionalProperties")); }

std::vector<Schema> constants_of(const Schema& schema) {
  if (schema.contains("const")) return {schema.at("const")};
  return schema.at("enum").is_array() ? schema.at("enum").get<std::vector<Schema>>() : std::vector<Schema>{};
}

bool has_constants(const Schema& schema) { return schema.contains("const") || schema.contains("enum"); }

}  // namespace

const Schema& SchemaOverlap::followed(const Schema& schema) const {
  const Schema* at = &schema;
  for (int i = 0; i < kMaxDepth && at->is_object() && at->contains("$ref") && at->at("$ref").is_string(); ++i) {
    at = &resolve_(at->at("$ref").get<std::string>());
  }
  return *at;
}

// ---- A value ----

bool SchemaOverlap::invalid(const Schema& value, const Schema& unresolved, int depth) const {
  const Schema& schema = followed(unresolved);
  if (is_false(schema)) return true;
  if (!schema.is_object() || depth > kMaxDepth) return false;
  const auto invalid_here = [&](const Schema& part) { return invalid(value, part, depth + 1); };
  for (const char* key : {"anyOf", "oneOf"}) {
    if (schema.contains(key) && schema.at(key).is_array() && std::all_of(schema.at(key).begin(), schema.at(key).end(), invalid_here))
      return true;
  }
  if (schema.contains("allOf") && schema.at("allOf").is_array()) {
    if (std::any_of(schema.at("allOf").begin(), schema.at("allOf").end(), invalid_here)) return true;
  }
  return invalid_by_keywords(value, schema, depth);
}

bool SchemaOverlap::invalid_by_keywords(const Schema& value, const Schema& schema, int depth) const {
  if (!types_of(schema).contains(type_of(value))) return true;
  if (has_constants(schema)) {
    const std::vector<Schema> constants = constants_of(schema);
    if (std::find(constants.begin(), constants.end(), value) == constants.end()) return true;
  }
  if (value.is_number()) {
    const double number = value.get<double>();
    return apart(numbers_of(schema), {number, number, false, false});
  }
  if (value.is_string()) {
    const auto length = static_cast<double>(characters(value.get<std::string>()));
    return length < number_of(schema, "minLength", 0) || length > number_of(schema, "maxLength", INFINITY);
  }
  if (value.is_array()) {
    const auto length = static_cast<double>(value.size());
    return length < number_of(schema, "minItems", 0) || length > number_of(schema, "maxItems", INFINITY);
  }
  return value.is_object() && invalid_object(value, schema, depth);
}

bool SchemaOverlap::invalid_object(const Schema& value, const Schema& schema, int depth) const {
  for (const std::string& name : names_in(schema, "required")) {
    if (!value.contains(name)) return true;
  }
  const Schema& properties = properties_of(schema);
  for (const auto& [name, item] : value.items()) {
    if (properties.contains(name) ? invalid(item, properties.at(name), depth + 1) : is_closed(schema)) return true;
  }
  return false;
}

// ---- Two schemas ----

bool SchemaOverlap::never(const Schema& first, const Schema& second, int depth) const {
  const Schema &written = followed(first), &other = followed(second);
  if (is_false(other)) return true;
  if (!written.is_object() || !other.is_object() || depth > kMaxDepth) return false;
  if (has_constants(written)) {
    const std::vector<Schema> values = constants_of(written);
    return std::all_of(values.begin(), values.end(), [&](const Schema& value) { return invalid(value, other, depth + 1); });
  }
  for (const char* key : {"anyOf", "oneOf"}) {
    if (other.contains(key) && other.at(key).is_array()) {
      const Schema& parts = other.at(key);
      if (std::all_of(parts.begin(), parts.end(), [&](const Schema& part) { return never(written, part, depth + 1); })) return true;
    }
    if (written.contains(key) && written.at(key).is_array()) {
      const Schema& parts = written.at(key);
      return std::all_of(parts.begin(), parts.end(), [&](const Schema& part) { return never(part, other, depth + 1); });
    }
  }
  if (other.contains("allOf") && other.at("allOf").is_array()) {
    const Schema& parts = other.at("allOf");
    if (std::any_of(parts.begin(), parts.end(), [&](const Schema& part) { return never(written, part, depth + 1); })) return true;
  }
  if (written.contains("allOf")) return false;  // what it lists is not all in one place
  if (has_constants(other)) {
    const std::vector<Schema> values = constants_of(other);
    return std::all_of(values.begin(), values.end(), [&](const Schema& value) { return invalid(value, written, depth + 1); });
  }
  const std::set<std::string> here = types_of(written), there = types_of(other);
  return std::all_of(here.begin(), here.end(),
                     [&](const std::string& type) { return !there.contains(type) || never_of_type(type, written, other, depth); });
}

bool SchemaOverlap::never_of_type(const std::string& type, const Schema& written, const Schema& other, int depth) const {
  if (type == "integer" || type == "number") return apart(numbers_of(written), numbers_of(other));
  if (type == "string") return apart(written, other, "minLength", "maxLength");
  if (type == "array") return never_arrays(written, other, depth);
  return type == "object" && never_objects(written, other, depth);
}

bool SchemaOverlap::never_objects(const Schema& written, const Schema& other, int depth) const {
  const Schema &names_here = properties_of(written), &names_there = properties_of(other);
  const std::set<std::string> required_here = names_in(written, "required"), required_there = names_in(other, "required");
  const bool writes_others = written.contains("additionalProperties") ? !is_closed(written) : names_here.empty() && required_here.empty();
  for (const std::string& name : required_there) {
    if (!writes_others && !names_here.contains(name) && !required_here.contains(name)) return true;
  }
  std::set<std::string> certain = required_here;
  certain.insert(required_there.begin(), required_there.end());
  for (const std::string& name : certain) {
    if (names_here.contains(name) && names_there.contains(name) && never(names_here.at(name), names_there.at(name), depth + 1)) return true;
    if (required_here.contains(name) && is_closed(other) && !names_there.contains(name)) return true;
  }
  return apart(written, other, "minProperties", "maxProperties");
}

bool SchemaOverlap::never_arrays(const Schema& written, const Schema& other, int depth) const {
  if (apart(written, other, "minItems", "maxItems")) return true;
  const double least = std::max(number_of(written, "minItems", 0), number_of(other, "minItems", 0));
  if (least < 1) return false;
  const auto first_item = [](const Schema& schema) -> const Schema& {
    static const Schema kAny = true;
    if (schema.contains("prefixItems") && schema.at("prefixItems").is_array() && !schema.at("prefixItems").empty())
      return schema.at("prefixItems").front();
    return schema.contains("items") && !schema.at("items").is_array() && !schema.contains("prefixItems") ? schema.at("items") : kAny;
  };
  return never(first_item(written), first_item(other), depth + 1);
}

}  // namespace linea
