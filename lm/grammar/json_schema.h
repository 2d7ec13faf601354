// lm/grammar/json_schema.h: a JSON schema as a grammar (GBNF) whose every text is valid under the schema.
//
// Understood: type (also lists), enum, const, properties, required, additionalProperties, items, prefixItems, minItems, maxItems,
// minLength, maxLength, pattern, format (date, time, date-time, uuid), minimum, maximum and their exclusive forms, multipleOf where a range
// bounds it, anyOf, oneOf, allOf of objects, local $ref. Where a schema allows several ways of writing, one is taken: properties in the
// schema's order, further properties only where additionalProperties asks for them, at most one space after : and ,; of oneOf's
// alternatives those whose values certainly fit no other (schema_overlap.h).
// Keywords that restrict values in a way that no grammar of reasonable size could keep are refused by name; annotations are ignored.
#pragma once

#include <string>
#include <string_view>

namespace linea {

// Throws kUsage: "SOURCE: /path/in/schema: what".
std::string json_schema_to_gbnf(std::string_view schema, const std::string& source);

// A grammar of any JSON value.
std::string any_json_gbnf();

}  // namespace linea
