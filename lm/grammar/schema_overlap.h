// lm/grammar/schema_overlap.h: whether a value that is written for one JSON schema can fit another, as oneOf needs to know.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace linea {

// Answers "no" only where that is certain: by types, bounds, lengths, constants, and the names and values of properties. Patterns, formats
// and the like are not compared.
class SchemaOverlap {
 public:
  using Schema = nlohmann::ordered_json;
  // Follows a $ref; throws for one that leads nowhere.
  using Resolve = std::function<const Schema&(const std::string& reference)>;
  explicit SchemaOverlap(Resolve resolve) : resolve_(std::move(resolve)) {}

  // No value that json_schema_to_gbnf's grammar for `written` allows is valid under `other`. Objects are written without names that the
  // schema does not list, unless it has additionalProperties.
  bool never(const Schema& written, const Schema& other, int depth = 0) const;

 private:
  const Schema& followed(const Schema& schema) const;
  bool invalid(const Schema& value, const Schema& schema, int depth) const;
  bool invalid_by_keywords(const Schema& value, const Schema& schema, int depth) const;
  bool invalid_object(const Schema& value, const Schema& schema, int depth) const;
  bool never_of_type(const std::string& type, const Schema& written, const Schema& other, int depth) const;
  bool never_objects(const Schema& written, const Schema& other, int depth) const;
  bool never_arrays(const Schema& written, const Schema& other, int depth) const;

  Resolve resolve_;
};

}  // namespace linea
