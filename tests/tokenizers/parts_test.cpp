// The features of tokenizer.json one by one, against the reference. Data: tests/golden/make_textenc_variants.py.
#include <gtest/gtest.h>

#include <random>

#include "core/json.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"
#include "tokenizers/added_tokens.h"
#include "tokenizers/flat_map.h"
#include "tokenizers/json_cursor.h"
#include "tokenizers/tokenizer.h"

namespace linea {
namespace {

// Members of "model" and of its vocabulary are merged, other members replaced.
Json patched(Json base, const Json& patch) {
  for (const auto& [key, value] : patch.items()) {
    if (key != "model") {
      base[key] = value;
      continue;
    }
    for (const auto& [option, setting] : value.items()) {
      if (option == "vocab") {
        base[key][option].update(setting);
      } else {
        base[key][option] = setting;
      }
    }
  }
  return base;
}

TEST(TokenizerVariants, EveryFeatureGivesTheIdsAndTextOfTheReference) {
  const Json golden = read_json_file(test::data_path("textenc/tokenizer_variants.json"));
  const auto texts = golden["texts"].get<std::vector<std::string>>();
  for (const Json& variant : golden["variants"]) {
    SCOPED_TRACE(variant["name"].get<std::string>());
    const test::TemporaryFolder folder;
    folder.write("tokenizer.json", patched(golden["base"], variant["patch"]).dump());
    const auto tokenizer = load_tokenizer(folder.path());
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto ids = variant["ids"][i].get<std::vector<int32_t>>();
      EXPECT_EQ(tokenizer->encode(texts[i]), ids) << testing::PrintToString(texts[i]);
      EXPECT_EQ(tokenizer->decode(ids), variant["decoded"][i].get<std::string>()) << testing::PrintToString(texts[i]);
    }
  }
}

TEST(AddedTokenMatcher, LeftmostThenLongest) {
  const AddedTokenMatcher matcher({{.content = "ab", .id = 1}, {.content = "abcd", .id = 2}, {.content = "bc", .id = 3}});
  const auto show = [&](std::string_view text) {
    std::string shown;
    for (const auto& piece : matcher.split(text)) {
      shown += piece.id < 0 ? "(" + std::string(text.substr(piece.begin, piece.end - piece.begin)) + ")" : std::to_string(piece.id);
    }
    return shown;
  };
  EXPECT_EQ(show(""), "");
  EXPECT_EQ(show("xabcdy"), "(x)2(y)");
  EXPECT_EQ(show("abcx"), "1(cx)");
  EXPECT_EQ(show("bcbcab"), "331");
  EXPECT_EQ(show("a"), "(a)");
}

TEST(JsonCursor, ReadsEscapesAndSkipsValues) {
  const std::string source = "file";
  JsonCursor cursor(R"( {"a\n\"\u00e9\ud83d\ude00" : -12, "b":[1,{"]":"}\""}],"c":null} )", source);
  std::string scratch;
  ASSERT_TRUE(cursor.open('{'));
  EXPECT_EQ(cursor.string(scratch), "a\n\"é😀");
  cursor.expect(':');
  EXPECT_EQ(cursor.integer(), -12);
  ASSERT_TRUE(cursor.next('}'));
  EXPECT_EQ(cursor.string(scratch), "b");
  cursor.expect(':');
  EXPECT_EQ(cursor.skip_value(), R"([1,{"]":"}\""}])");
  ASSERT_TRUE(cursor.next('}'));
  EXPECT_EQ(cursor.string(scratch), "c");
  cursor.expect(':');
  EXPECT_EQ(cursor.skip_value(), "null");
  EXPECT_FALSE(cursor.next('}'));
}

TEST(JsonCursor, RefusesBrokenText) {
  const std::string source = "file";
  std::string scratch;
  for (const char* text : {"", "\"abc", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"a\nb\"", "\"\\"}) {
    JsonCursor cursor(text, source);
    EXPECT_THROW(cursor.string(scratch), Error) << text;
  }
  for (const char* text : {"[1,2", "{\"a\":\"b", "[[[", "\"\\"}) {
    JsonCursor cursor(text, source);
    EXPECT_THROW(cursor.skip_value(), Error) << text;
  }
}

TEST(FlatMaps, AgreeWithTheStandardOnes) {
  std::mt19937 random(3);
  std::vector<std::string> keys;
  for (int i = 0; i < 5000; ++i) keys.push_back(std::to_string(random() % 3000));
  PieceMap pieces;
  MergeMap merges;
  std::unordered_map<std::string, int32_t> expected;
  EXPECT_EQ(pieces.find("x"), -1);
  EXPECT_LT(merges.find(0, 0).rank, 0);
  for (size_t i = 0; i < keys.size(); ++i) {
    const int32_t n = std::stoi(keys[i]), value = static_cast<int32_t>(i);
    pieces.set(keys[i], value);
    merges.set(n, n / 7, {value, value + 1});
    expected[keys[i]] = value;
  }
  EXPECT_EQ(pieces.size(), expected.size());
  for (const auto& [key, value] : expected) {
    const int32_t n = std::stoi(key);
    EXPECT_EQ(pieces.find(key), value);
    EXPECT_EQ(merges.find(n, n / 7).rank, value);
    EXPECT_EQ(merges.find(n, n / 7).id, value + 1);
    EXPECT_LT(merges.find(n, n / 7 + 1).rank, 0);
  }
}

}  // namespace
}  // namespace linea
