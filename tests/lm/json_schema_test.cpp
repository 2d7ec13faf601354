// JSON schemas: random ones, answered by a model of random weights, each answer checked by a validator of its own.
//
// LINEA_SCHEMAS sets their number; LINEA_SCHEMAS_FILE names a file that gets a line of JSON with schema and answer for each, which
// tests/golden/check_json_schemas.py holds against the package jsonschema.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <regex>

#include "lm/grammar/json_schema.h"
#include "lm/grammar/matcher.h"
#include "lm/load.h"
#include "tests/lm/piece_tokenizer.h"
#include "tests/lm/schema_maker.h"
#include "tests/support/golden.h"

namespace linea {
namespace {

using test::PieceTokenizer;
using test::SchemaMaker;
using testing::HasSubstr;

// Each character beyond ASCII as one byte: std::regex counts bytes.
std::string one_byte_a_character(const std::string& text) {
  std::string plain;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) plain += static_cast<unsigned char>(c) < 0x80 ? c : '\x01';
  }
  return plain;
}

// Only the keywords that SchemaMaker uses.
bool valid(const Json& schema, const Json& value) {
  if (schema.is_boolean()) return schema.get<bool>();
  if (schema.contains("enum")) return std::find(schema["enum"].begin(), schema["enum"].end(), value) != schema["enum"].end();
  if (schema.contains("const")) return schema["const"] == value;
  for (const char* key : {"anyOf", "oneOf"}) {
    if (!schema.contains(key)) continue;
    const auto fitting = std::count_if(schema[key].begin(), schema[key].end(), [&](const Json& s) { return valid(s, value); });
    return std::string(key) == "anyOf" ? fitting > 0 : fitting == 1;
  }
  const std::string type = schema.value("type", "");
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "string") {
    if (!value.is_string()) return false;
    const std::string text = one_byte_a_character(value);
    const size_t characters = text.size();
    if (characters < schema.value("minLength", size_t{0}) || characters > schema.value("maxLength", size_t{100000})) return false;
    if (schema.contains("pattern")) return std::regex_search(text, std::regex(schema["pattern"].get<std::string>()));
    if (!schema.contains("format")) return true;
    const std::string date = "\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])",
                      time = "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(Z|[+-]\\d\\d:\\d\\d)";
    const std::map<std::string, std::string> formats = {
        {"date", date}, {"time", time}, {"date-time", date + "T" + time}, {"uuid", "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"}};
    return std::regex_match(text, std::regex(formats.at(schema["format"])));
  }
  if (type == "integer" || type == "number") {
    if (!value.is_number()) return false;
    const double number = value;
    if (type == "integer" && number != std::floor(number)) return false;
    if (schema.contains("multipleOf") && std::fmod(number, schema["multipleOf"].get<double>()) != 0) return false;
    return !(schema.contains("minimum") && number < schema["minimum"]) && !(schema.contains("maximum") && number > schema["maximum"]) &&
           !(schema.contains("exclusiveMinimum") && number <= schema["exclusiveMinimum"]) &&
           !(schema.contains("exclusiveMaximum") && number >= schema["exclusiveMaximum"]);
  }
  if (type == "array") {
    if (!value.is_array() || value.size() < schema.value("minItems", size_t{0}) || value.size() > schema.value("maxItems", size_t{100000}))
      return false;
    for (size_t i = 0; i < value.size(); ++i) {
      const bool prefixed = schema.contains("prefixItems") && i < schema["prefixItems"].size();
      if (!valid(prefixed ? schema["prefixItems"][i] : schema["items"], value[i])) return false;
    }
    return true;
  }
  if (!value.is_object()) return false;
  for (const Json& name : schema.value("required", Json::array())) {
    if (!value.contains(name.get<std::string>())) return false;
  }
  for (const auto& [name, item] : value.items()) {
    const bool known = schema["properties"].contains(name);
    if (!valid(known ? schema["properties"][name] : schema.value("additionalProperties", Json(true)), item)) return false;
  }
  return true;
}

TEST(JsonSchema, EveryAnswerOfARandomModelIsValid) {
  const char* wanted = std::getenv("LINEA_SCHEMAS");
  const char* file_name = std::getenv("LINEA_SCHEMAS_FILE");
  const int count = wanted ? std::atoi(wanted) : 60;
  std::ofstream file;
  if (file_name) file.open(file_name);
  test::TestContext context;
  const std::string folder = test::data_path("lm/rwkv7");
  const auto model = load_language_model(*context, Checkpoint::open_folder(folder, "model"), folder + "/config.json");
  Runner runner(*model, *context);
  const PieceTokenizer small = PieceTokenizer::json();
  const Vocabulary vocabulary(small, 61, {0});
  const auto trie = std::make_shared<const TokenTrie>(vocabulary);
  // Names and constants are ASCII here, so that the small vocabulary can spell them: what it cannot is refused, not answered wrongly.
  int answered = 0;
  for (int k = 0; answered < count; ++k) {
    const Json schema = SchemaMaker(static_cast<unsigned>(k)).make();
    const auto matcher =
        std::make_shared<GrammarMatcher>(parse_gbnf(json_schema_to_gbnf(schema.dump(), "schema"), "schema"), vocabulary, trie);
    GrammarConstraint constraint(matcher, 1500);
    Snapshot snapshot = runner.start();
    runner.read(std::vector<int32_t>{5, 17, static_cast<int32_t>(k % 61)}, snapshot);
    Generation answer;
    try {
      answer =
          generate(runner, vocabulary, snapshot,
                   {.sampling = {.temperature = 1.5, .seed = static_cast<uint64_t>(k)}, .max_tokens = 1500, .constraint = &constraint}, {});
    } catch (const Error& error) {
      ASSERT_THAT(error.what(), HasSubstr("no token for what must come next")) << schema;
      continue;
    }
    ++answered;
    ASSERT_EQ(answer.end, GenerationEnd::kEndToken) << schema << " got " << answer.text;
    const Json value = Json::parse(answer.text, nullptr, false);
    ASSERT_FALSE(value.is_discarded()) << schema << " got " << answer.text;
    ASSERT_TRUE(valid(schema, value)) << schema << " got " << answer.text;
    if (file.is_open()) file << Json{{"schema", schema}, {"answer", answer.text}}.dump() << "\n";
  }
}

// The same with bytes for tokens and a blind choice: everything can be spelt.
TEST(JsonSchema, BlindChoicesAreValidToo) {
  const PieceTokenizer bytes = PieceTokenizer::with_bytes({"\",\"", "\":", "}}", "]}", "true,", "{\"", "10"});
  const Vocabulary vocabulary(bytes, bytes.vocabulary_size(), {0});
  const auto trie = std::make_shared<const TokenTrie>(vocabulary);
  for (unsigned k = 1000; k < 1060; ++k) {
    const Json schema = SchemaMaker(k).make();
    const auto matcher =
        std::make_shared<GrammarMatcher>(parse_gbnf(json_schema_to_gbnf(schema.dump(), "schema"), "schema"), vocabulary, trie);
    GrammarConstraint constraint(matcher, 1500);
    Sampler sampler({.seed = k});
    const std::vector<float> flat(static_cast<size_t>(vocabulary.size()), 0.0f);
    std::string text;
    for (;;) {
      const int32_t id = sampler.sample(flat, &constraint.allowed());
      if (id == 0) break;
      text += vocabulary.bytes(id);
      constraint.accept(id);
    }
    const Json value = Json::parse(text, nullptr, false);
    ASSERT_FALSE(value.is_discarded()) << schema << " got " << text;
    ASSERT_TRUE(valid(schema, value)) << schema << " got " << text;
  }
}

bool accepts(const std::string& schema, const std::string& text) {
  const PieceTokenizer bytes = PieceTokenizer::with_bytes();
  const Vocabulary vocabulary(bytes, bytes.vocabulary_size(), {0});
  GrammarMatcher matcher(parse_gbnf(json_schema_to_gbnf(schema, "schema"), "schema"), vocabulary, std::make_shared<TokenTrie>(vocabulary));
  const auto state = matcher.advance(matcher.start(), text);
  return state != GrammarMatcher::kDead && matcher.complete(state);
}

// The texts that a schema's grammar takes.
bool takes(const Json& schema, const std::string& text) {
  static const PieceTokenizer bytes = PieceTokenizer::with_bytes();
  static const Vocabulary vocabulary(bytes, bytes.vocabulary_size(), {0});
  GrammarMatcher matcher(parse_gbnf(json_schema_to_gbnf(schema.dump(), "schema"), "schema"), vocabulary,
                         std::make_shared<const TokenTrie>(vocabulary));
  const GrammarMatcher::StateId state = matcher.advance(matcher.start(), text);
  return state != GrammarMatcher::kDead && matcher.complete(state);
}

TEST(JsonSchema, OneOfTakesWhatFitsOneAlternativeOnly) {
  const Json kinds = {
      {"oneOf",
       {{{"type", "object"}, {"properties", {{"kind", {{"const", "a"}}}, {"n", {{"type", "integer"}}}}}, {"required", {"kind", "n"}}},
        {{"type", "object"}, {"properties", {{"kind", {{"const", "b"}}}}}, {"required", {"kind"}}}}}};
  EXPECT_TRUE(takes(kinds, R"({"kind":"a","n":3})"));
  EXPECT_TRUE(takes(kinds, R"({"kind":"b"})"));
  EXPECT_FALSE(takes(kinds, R"({"kind":"b","n":3})"));
  const Json names = {{"oneOf",
                       {{{"type", "object"}, {"properties", {{"x", {{"type", "null"}}}}}, {"required", {"x"}}},
                        {{"type", "object"}, {"properties", {{"y", {{"type", "null"}}}}}, {"required", {"y"}}}}}};
  EXPECT_TRUE(takes(names, R"({"x":null})"));
  EXPECT_TRUE(takes(names, R"({"y":null})"));
  // Whole numbers fit both: only what is left over is written.
  const Json numbers = {{"oneOf", {{{"type", "integer"}}, {{"type", "number"}}, {{"type", "string"}}}}};
  EXPECT_TRUE(takes(numbers, R"("text")"));
  EXPECT_FALSE(takes(numbers, "3"));
  const Json ranges = {{"oneOf", {{{"type", "integer"}, {"maximum", 5}}, {{"type", "integer"}, {"exclusiveMinimum", 5}}}}};
  EXPECT_TRUE(takes(ranges, "5"));
  EXPECT_TRUE(takes(ranges, "6"));
  const Json lists = {{"oneOf",
                       {{{"type", "array"}, {"items", {{"type", "integer"}}}, {"minItems", 1}, {"maxItems", 2}},
                        {{"type", "array"}, {"items", {{"type", "string"}}}, {"minItems", 1}}}}};
  EXPECT_TRUE(takes(lists, "[1,2]"));
  EXPECT_TRUE(takes(lists, R"(["a"])"));
}

TEST(JsonSchema, OneOfWithoutACertainAlternativeIsRefused) {
  for (const char* schema :
       {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", R"({"oneOf":[{"type":"string"},{"type":"string","pattern":"^a"}]})",
        R"({"oneOf":[true,{"type":"string"}]})", R"({"properties":{"a":true,"b":true},"oneOf":[{"required":["a"]},{"required":["b"]}]})"}) {
    try {
      json_schema_to_gbnf(schema, "schema");
      ADD_FAILURE() << schema;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("oneOf: every alternative's values might fit another one too")) << schema;
    }
  }
}

TEST(JsonSchema, Keywords) {
  EXPECT_TRUE(accepts(
      R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":{"$ref":"#/$defs/n"}},"required":["v"]}}})",
      R"({"v":1,"next":{"v":2}})"));
  EXPECT_TRUE(accepts(
      R"({"allOf":[{"properties":{"a":{"type":"null"}},"required":["a"]},{"properties":{"b":{"type":"boolean"}},"required":["b"]}]})",
      R"({"a":null,"b": true})"));
  EXPECT_TRUE(accepts(R"({"type":["null","boolean"]})", "null"));
  EXPECT_TRUE(accepts("true", R"({"any":[1.5e3,"é\n"]})"));
  EXPECT_FALSE(accepts(R"({"type":"object","properties":{"a":{}},"additionalProperties":false})", R"({"b":1})"));
  EXPECT_FALSE(
      accepts(R"({"type":"object","properties":{"ab":{"type":"null"}},"additionalProperties":{"type":"boolean"}})", R"({"ab":true})"));
  EXPECT_TRUE(accepts(R"({"type":"object","properties":{"ab":{"type":"null"}},"additionalProperties":{"type":"boolean"}})",
                      R"({"abc":true,"a":false})"));
  EXPECT_TRUE(accepts(R"({"type":"array","prefixItems":[{"type":"null"},{"type":"boolean"}],"items":false})", "[null]"));
  EXPECT_FALSE(accepts(R"({"type":"array","prefixItems":[{"type":"null"}],"items":false})", "[null,null]"));
  EXPECT_FALSE(accepts(R"({"type":"array","maxItems":0})", "[1]"));
}

TEST(JsonSchema, BrokenSchemasGetOneLine) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "schema"},
      {"{", "schema: "},
      {"NaN", "NaN or Infinity"},
      {"3", "#: expected an object"},
      {"false", "allows no value"},
      {R"({"type":"text"})", "unknown type"},
      {R"({"not":{}})", "'not' is not supported"},
      {R"({"properties":{"a":{"if":{}}}})", "#/properties/a: 'if' is not supported"},
      {R"({"$ref":"#/nowhere"})", "leads nowhere"},
      {R"({"$ref":"other.json"})", "only references into this schema"},
      {R"({"$ref":"#"})", "never ends"},
      {R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})", "never ends"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", "never ends"},
      {R"({"type":"integer","minimum":5,"maximum":4})", "no number lies within"},
      {R"({"type":"integer","minimum":4.2,"maximum":4.8})", "no whole number"},
      {R"({"type":"string","minLength":5,"maxLength":4})", "maxLength is smaller"},
      {R"({"type":"string","maxLength":1e9})", "maxLength"},
      {R"x({"type":"string","pattern":"(?=x)"})x", "look-around"},
      {R"({"type":"string","pattern":"(a"})", "not closed"},
      {R"({"type":"string","pattern":"[b-a]"})", "not in order"},
      {R"({"type":"string","pattern":"a{2,1}"})", "smaller"},
      {R"({"type":"array","minItems":2,"uniqueItems":true})", "uniqueItems"},
      {R"({"enum":[]})", "enum is not a list"},
      {R"({"type":"integer","multipleOf":7})", "multipleOf needs a minimum"},
      {R"({"type":"object","required":["a"],"additionalProperties":false})", "required but not allowed"}};
  for (const auto& [schema, part] : cases) {
    try {
      parse_gbnf(json_schema_to_gbnf(schema, "schema"), "schema");
      ADD_FAILURE() << schema << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage) << schema;
      EXPECT_THAT(error.what(), HasSubstr(part)) << schema;
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace linea
