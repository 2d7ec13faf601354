#include "core/json.h"

#include <cmath>
#include <limits>

#include "tests/core/fixtures.h"

namespace linea {
namespace {

using test::expect_error;

TEST(Json, AcceptsPythonsBareTokensOutsideStrings) {
  const Json json = parse_json(R"({"lambda_min": -Infinity, "a": [NaN, Infinity], "s": "NaN \" -Infinity \\", "zero": 0e0})", "x");
  EXPECT_EQ(json["lambda_min"].get<double>(), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(json["a"][0].get<double>()));
  EXPECT_EQ(json["a"][1].get<double>(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(json["s"], "NaN \" -Infinity \\");
  EXPECT_EQ(json["zero"].get<double>(), 0.0);
}

TEST(Json, BareTokensSurviveEveryShortLiteralBeingTaken) {
  std::string text = "[NaN";
  for (int i = 0; i < 10; ++i) text += ", 0e" + std::to_string(i);
  const Json json = parse_json(text + "]", "x");
  EXPECT_TRUE(std::isnan(json[0].get<double>()));
  for (size_t i = 1; i < json.size(); ++i) EXPECT_EQ(json[i].get<double>(), 0.0);
}

TEST(Json, KeepsNumbersApart) {
  const Json json = parse_json("[18446744073709551615, -9223372036854775808, 1.5, true, null, \"\\u00e9\"]", "x");
  EXPECT_EQ(json[0].get<uint64_t>(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(json[1].get<int64_t>(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(json[2].get<double>(), 1.5);
  EXPECT_EQ(json[5], "é");
}

TEST(Json, ErrorsNameFileAndPlace) {
  const auto parse = [](const std::string& text) { return [text] { parse_json(text, "config.json"); }; };
  expect_error(ErrorKind::kModel, "config.json: line 2, column 6: syntax error", parse("{\"a\": 1,\n\"b\": x}"));
  expect_error(ErrorKind::kModel, "config.json: line 1, column 1: ", parse(""));
  expect_error(ErrorKind::kModel, "config.json: line 1, column 3: ", parse("1 2"));
  expect_error(ErrorKind::kModel, "syntax error", parse("{\"a\": [1, 2}"));
  expect_error(ErrorKind::kModel, "syntax error", parse("[nan]"));
  expect_error(ErrorKind::kModel, "syntax error", parse("[\"NaN\", NaNa]"));
  expect_error(ErrorKind::kModel, "UTF-8", parse("\"\xff\""));
  expect_error(ErrorKind::kModel, "key \"a\" appears twice", parse("{\"a\": 1, \"a\": 2}"));
  expect_error(ErrorKind::kModel, "number overflow", parse("1e999"));
  expect_error(ErrorKind::kModel, "nested deeper than 64", parse(std::string(65, '[') + std::string(65, ']')));
  expect_error(ErrorKind::kModel, "nested deeper than 64", parse(std::string(1'000'000, '[')));
  EXPECT_NO_THROW(parse_json(std::string(64, '[') + std::string(64, ']'), "x"));
  expect_error(ErrorKind::kBadFile, "syntax error", [] { parse_json("{", "job", ErrorKind::kBadFile); });
}

TEST(Json, FilesAreBounded) {
  const test::TemporaryFolder folder;
  test::write_bytes(folder / "a.json", "{\"a\": 1}");
  EXPECT_EQ(read_json_file(folder / "a.json")["a"], 1);
  expect_error(ErrorKind::kModel, "has 8 bytes, at most 7 are read", [&] { read_json_file(folder / "a.json", 7); });
  expect_error(ErrorKind::kModel, "cannot open", [&] { read_json_file(folder / "b.json"); });
  expect_error(ErrorKind::kModel, "is a folder", [&] { read_json_file(folder.path()); });
}

TEST(Config, TypedLookups) {
  const Config config(
      parse_json(R"({"n": 8, "whole": 8.0, "part": 8.5, "x": 2.5, "yes": true, "s": "text", "list": [1, 2], "none": null})", "c"),
      "config.json");
  EXPECT_EQ(config.integer("n", 1, 10), 8);
  EXPECT_EQ(config.integer("whole", 1, 10), 8);
  EXPECT_EQ(config.integer("absent", 1, 10, 5), 5);
  EXPECT_EQ(config.integer("none", 1, 10, 5), 5);
  EXPECT_EQ(config.number("x"), 2.5);
  EXPECT_EQ(config.number("n"), 8.0);
  EXPECT_EQ(config.number("absent", 0.5), 0.5);
  EXPECT_TRUE(config.boolean("yes", false));
  EXPECT_TRUE(config.boolean("absent", true));
  EXPECT_EQ(config.text("s"), "text");
  EXPECT_EQ(config.text("absent", "d"), "d");
  EXPECT_EQ(config.integers("list"), (std::vector<int64_t>{1, 2}));
  EXPECT_FALSE(config.has("none"));
  EXPECT_TRUE(config.has("n"));
}

TEST(Config, ErrorsNameFileKeyExpectationAndValue) {
  const Config config(parse_json(R"({"n": 80, "s": "text", "big": 18446744073709551615, "list": [1, "x"], "none": null})", "c"),
                      "config.json");
  expect_error(ErrorKind::kModel, "config.json: n: expected an integer between 1 and 10, found 80", [&] { config.integer("n", 1, 10); });
  expect_error(ErrorKind::kModel, "found 18446744073709551615", [&] { config.integer("big", 1, 10); });
  expect_error(ErrorKind::kModel, "config.json: s: expected an integer", [&] { config.integer("s", 1, 10, 3); });
  expect_error(ErrorKind::kModel, "config.json: absent: is missing", [&] { config.integer("absent", 1, 10); });
  expect_error(ErrorKind::kModel, "none: is missing", [&] { config.at("none"); });
  expect_error(ErrorKind::kModel, "expected a number, found \"text\"", [&] { config.number("s"); });
  expect_error(ErrorKind::kModel, "expected true or false", [&] { config.boolean("n", true); });
  expect_error(ErrorKind::kModel, "expected a string, found 80", [&] { config.text("n"); });
  expect_error(ErrorKind::kModel, "expected a list of integers, found [1,\"x\"]", [&] { config.integers("list"); });
  expect_error(ErrorKind::kModel, "config.json: expected a JSON object, found [1]", [&] { Config(parse_json("[1]", "c"), "config.json"); });
}

}  // namespace
}  // namespace linea
