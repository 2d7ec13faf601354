// The RWKV World tokenizer. Data: tests/golden/make_lm_world_tokenizer.py.
#include "tokenizers/rwkv_world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "core/json.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"
#include "tokenizers/python_literal.h"

namespace linea {
namespace {

using testing::HasSubstr;

std::string bytes_of_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

RwkvWorldTokenizer load() { return RwkvWorldTokenizer::load(test::data_path("lm/world/vocabulary.txt")); }

TEST(RwkvWorld, IdsEqualTheReference) {
  const RwkvWorldTokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.vocabulary_size(), 304);
  for (const Json& pair : read_json_file(test::data_path("lm/world/golden.json"))) {
    const std::string text = bytes_of_hex(pair[0].get<std::string>());
    EXPECT_EQ(tokenizer.encode(text), pair[1].get<std::vector<int32_t>>()) << pair[0];
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text) << pair[0];
  }
}

TEST(RwkvWorld, AnyBytesComeBack) {
  const RwkvWorldTokenizer tokenizer = load();
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::string bytes(random() % 300, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes)), bytes);
  }
}

TEST(RwkvWorld, UnknownIdsAndTheEndGiveNoBytes) {
  const RwkvWorldTokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{98, RwkvWorldTokenizer::kEndOfText, -1, 304, 70000, 99}), "ab");
  EXPECT_EQ(tokenizer.token(11), "\n");
}

TEST(PythonLiteral, ReadsEveryKind) {
  const std::vector<std::pair<std::string, std::string>> cases = {{R"('a b')", "a b"},
                                                                  {R"("it's")", "it's"},
                                                                  {R"('\'')", "'"},
                                                                  {R"('\\n')", "\\n"},
                                                                  {R"('\t\n\r')", "\t\n\r"},
                                                                  {R"('\xe9')", "\xc3\xa9"},
                                                                  {R"(b'\xe9\'')", "\xe9'"},
                                                                  {R"('\u2028')", "\xe2\x80\xa8"},
                                                                  {R"('\U0001f600')", "\xf0\x9f\x98\x80"},
                                                                  {R"('é')", "é"},
                                                                  {R"(b"a\\")", "a\\"},
                                                                  {R"('')", ""}};
  for (const auto& [literal, bytes] : cases) EXPECT_EQ(parse_python_literal(literal), bytes) << literal;
  for (const std::string literal : {"", "'", "b'", "a", "'a\"", "'a'b'", R"('\')", R"('\q')", R"('\x4')", R"('\xzz')", R"(b'\u0041')",
                                    R"('\ud800')", R"('\U00110000')", "b'é'", "r'a'"}) {
    EXPECT_EQ(parse_python_literal(literal), std::nullopt) << literal;
  }
}

std::string load_error(const std::string& content) {
  const test::TemporaryFolder folder;
  folder.write("vocabulary.txt", content);
  try {
    RwkvWorldTokenizer::load(folder.path() / "vocabulary.txt");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kModel);
    EXPECT_THAT(error.what(), HasSubstr("vocabulary.txt"));
    return error.what();
  }
  return "no error";
}

TEST(RwkvWorld, BadFilesAreNamedWithTheirLine) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) {
    char line[32];
    std::snprintf(line, sizeof(line), "%d b'\\x%02x' 1\n", i + 1, static_cast<unsigned>(i));
    bytes += line;
  }
  EXPECT_EQ(load_error(bytes), "no error");
  EXPECT_EQ(load_error(bytes + "300 ' a' 2\r\n"), "no error");
  for (const std::string line : {"257", "257 'ab'", "257 'ab' 3", "257 ab 2", "0 'ab' 2", "-1 'ab' 2", "257 '' 0", "99999999 'ab' 2",
                                 "x 'ab' 2", "257 'ab' 2x", ""}) {
    EXPECT_THAT(load_error(bytes + line + "\n"), HasSubstr("line 257")) << line;
  }
  EXPECT_THAT(load_error(bytes + "256 'ab' 2\n"), HasSubstr("id 256 occurs twice"));
  EXPECT_THAT(load_error(bytes + "257 'a' 1\n"), HasSubstr("ids 98 and 257 have the same bytes"));
  EXPECT_THAT(load_error(bytes.substr(bytes.find('\n') + 1)), HasSubstr("lacks the single byte 0"));
  EXPECT_THAT(load_error(""), HasSubstr("lacks the single byte 0"));
}

}  // namespace
}  // namespace linea
