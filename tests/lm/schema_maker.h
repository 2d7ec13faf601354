// tests/lm/schema_maker.h: random JSON schemas.
#pragma once

#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/json.h"

namespace linea::test {

// Draws schemas of every kind that the compiler understands.
class SchemaMaker {
 public:
  explicit SchemaMaker(unsigned seed) : random_(seed) {}

  Json make(int depth = 0) {
    switch (pick(depth >= 3 ? 7 : 11)) {
      case 0: return {{"type", "boolean"}};
      case 1: return {{"type", "null"}};
      case 2: return string();
      case 3: return integer();
      case 4: return number();
      case 5: return {{"enum", Json::array({"red", 7, nullptr, true, Json::array({1, "a"}), Json{{"k", "v"}}})}};
      case 6: return {{"const", coin() ? Json("const \"quoted\" \\ \n") : Json(pick(1000))}};
      case 7:
      case 8: return object(depth);
      case 9: return array(depth);
      default:
        return {{coin() ? "anyOf" : "oneOf", Json::array({{{"type", "string"}, {"maxLength", 3}},
                                                          integer(),
                                                          Json{{"type", "array"}, {"items", make(depth + 1)}, {"maxItems", 2}}})}};
    }
  }

 private:
  int pick(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  bool coin() { return pick(2) == 0; }

  Json string() {
    switch (pick(5)) {
      case 0: return {{"type", "string"}};
      case 1: return {{"type", "string"}, {"minLength", pick(4)}, {"maxLength", 4 + pick(8)}};
      case 2: {
        const std::vector<std::string> patterns = {"^[a-c]{2,5}$", "^(ab|c)+d?$",           "\\d{3}",   "^x", "z$", "^[^a-y]{1,4}$",
                                                   "a.c",          "^\\w+:\\w+\\.(de|eu)$", "^\"q\\\\$"};
        return {{"type", "string"}, {"pattern", patterns[static_cast<size_t>(pick(static_cast<int>(patterns.size())))]}};
      }
      case 3:
        return {{"type", "string"},
                {"format", std::vector<std::string>{"date", "time", "date-time", "uuid"}[static_cast<size_t>(pick(4))]}};
      default: return {{"type", "string"}, {"minLength", 2 + pick(9)}};
    }
  }
  Json integer() {
    Json schema = {{"type", "integer"}};
    const int low = pick(400) - 200;
    if (coin()) schema[coin() ? "minimum" : "exclusiveMinimum"] = low;
    if (coin()) schema[coin() ? "maximum" : "exclusiveMaximum"] = low + 5 + pick(300);
    if (schema.size() == 3 && coin()) schema["multipleOf"] = 1 + pick(4);
    return schema;
  }
  Json number() {
    Json schema = {{"type", "number"}};
    const double low = pick(60) / 4.0 - 7;
    if (coin()) schema[coin() ? "minimum" : "exclusiveMinimum"] = low;
    if (coin()) schema[coin() ? "maximum" : "exclusiveMaximum"] = low + 0.25 + pick(40) / 3.0;
    return schema;
  }
  Json object(int depth) {
    Json schema = {{"type", "object"}, {"properties", Json::object()}};
    const int count = pick(5);
    for (int i = 0; i < count; ++i) {
      const std::string name = std::vector<std::string>{"a", "ab", "b", "name", "x y", "q\"", "é", "abc"}[static_cast<size_t>(pick(8))];
      schema["properties"][name] = make(depth + 1);
      if (coin()) schema["required"].push_back(name);
    }
    if (schema.contains("required")) {
      const std::set<std::string> unique(schema["required"].begin(), schema["required"].end());
      schema["required"] = unique;
    }
    if (const int kind = pick(4); kind < 2) {
      schema["additionalProperties"] = kind == 0 ? Json(coin()) : make(depth + 2);
    }
    return schema;
  }
  Json array(int depth) {
    Json schema = {{"type", "array"}, {"items", make(depth + 1)}};
    if (coin()) schema["minItems"] = pick(3);
    if (coin()) schema["maxItems"] = 2 + pick(3);
    if (pick(4) == 0) schema["prefixItems"] = Json::array({make(depth + 1), make(depth + 1)});
    return schema;
  }

  std::mt19937 random_;
};

}  // namespace linea::test
