// Broken and unsupported tokenizer files: one line that names the file and what is wrong, and never a crash.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>

#include "core/json.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"
#include "tokenizers/tokenizer.h"

namespace linea {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string error_of(const std::filesystem::path& folder) {
  try {
    load_tokenizer(folder);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kModel) << error.what();
    EXPECT_THAT(error.what(), AllOf(HasSubstr(folder.string()), Not(HasSubstr("\n"))));
    return error.what();
  }
  return "no error";
}

std::string error_of_text(const std::string& text, const std::string& name = "tokenizer.json") {
  const test::TemporaryFolder folder;
  folder.write(name, text);
  return error_of(folder.path());
}

Json small() {
  return Json::parse(R"({"added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})");
}

std::string error_of_patch(const std::string& pointer, const Json& value) {
  Json json = small();
  json[Json::json_pointer(pointer)] = value;
  return error_of_text(json.dump());
}

TEST(TokenizerErrors, TheSmallFileIsGood) { EXPECT_EQ(error_of_text(small().dump()), "no error"); }

TEST(TokenizerErrors, MissingFiles) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(error_of(folder.path()), HasSubstr("expected tokenizer.json or tokenizer.model"));
  EXPECT_THAT(error_of(folder.path() / "absent"), HasSubstr("expected tokenizer.json or tokenizer.model"));
}

TEST(TokenizerErrors, BrokenJson) {
  for (const char* text : {"", "[]", "{", "nonsense", R"({"model": )", R"({"model": {"vocab": {"a": )",
                           R"({"model": {"vocab": {}, "merges": []}})", R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a)"}) {
    EXPECT_NE(error_of_text(text), "no error") << text;
  }
  EXPECT_NE(error_of_text("not a model", "tokenizer.model"), "no error");
  EXPECT_NE(error_of_text("", "tokenizer.model"), "no error");
}

TEST(TokenizerErrors, WrongMembers) {
  EXPECT_THAT(error_of_patch("/model/type", "Unigram"), HasSubstr("unsupported tokenizer model \"Unigram\""));
  EXPECT_THAT(error_of_patch("/model/vocab", Json::array()), HasSubstr("vocab: expected an object"));
  EXPECT_THAT(error_of_patch("/model/merges", Json::object()), HasSubstr("merges: expected a list"));
  EXPECT_THAT(error_of_patch("/model/vocab/a", -1), HasSubstr("\"a\" has id -1"));
  EXPECT_THAT(error_of_patch("/model/vocab/a", int64_t{1} << 40), HasSubstr("has id"));
  EXPECT_THAT(error_of_patch("/model/vocab/a", "x"), HasSubstr("expected an integer"));
  EXPECT_THAT(error_of_patch("/model/merges/0", "c a"), HasSubstr("merges[0]: \"c\" is not in the vocabulary"));
  EXPECT_THAT(error_of_patch("/model/merges/0", "b a"), HasSubstr("merges[0]: \"ba\" is not in the vocabulary"));
  EXPECT_THAT(error_of_patch("/model/merges/0", "ab"), HasSubstr("two pieces"));
  EXPECT_THAT(error_of_patch("/model/merges/0", 7), HasSubstr("expected '\"'"));
  EXPECT_THAT(error_of_patch("/model/unk_token", "<unk>"), HasSubstr("\"<unk>\" is not in the vocabulary"));
  EXPECT_THAT(error_of_patch("/model/dropout", 0.1), HasSubstr("dropout"));
  EXPECT_THAT(error_of_patch("/normalizer", Json{{"type", "NFKC"}}), HasSubstr("unsupported normalizer \"NFKC\""));
  EXPECT_THAT(error_of_patch("/normalizer", Json{{"type", "Replace"}, {"pattern", {{"Regex", "x"}}}, {"content", ""}}), HasSubstr("Regex"));
  EXPECT_THAT(error_of_patch("/pre_tokenizer", Json{{"type", "BertPreTokenizer"}}), HasSubstr("unsupported pre-tokenizer \"BertPre"));
  EXPECT_THAT(error_of_patch("/post_processor", Json{{"type", "Bert"}}), HasSubstr("unsupported post-processor \"Bert\""));
  EXPECT_THAT(error_of_patch("/decoder", Json{{"type", "WordPiece"}}), HasSubstr("unsupported decoder \"WordPiece\""));
  EXPECT_THAT(error_of_patch("/added_tokens", Json::object()), HasSubstr("added_tokens: expected a list"));
  EXPECT_THAT(error_of_patch("/added_tokens", Json::array({Json{{"id", -4}, {"content", "x"}}})), HasSubstr("id"));
}

TEST(TokenizerErrors, BrokenSpecialTokens) {
  const test::TemporaryFolder folder;
  folder.write("tokenizer.json", small().dump());
  folder.write("tokenizer_config.json", R"({"bos_token": 5})");
  EXPECT_THAT(error_of(folder.path()), AllOf(HasSubstr("tokenizer_config.json"), HasSubstr("bos_token")));
  folder.write("tokenizer_config.json", R"({"bos_token": {"content": "ab"}, "add_bos_token": true})");
  const auto tokenizer = load_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->special().bos, 2);
  EXPECT_EQ(tokenizer->special().pad, -1);
  EXPECT_EQ(tokenizer->encode("a"), (std::vector<int32_t>{2, 0}));
}

// Any mutation either loads, and then encodes, or is refused.
TEST(TokenizerErrors, MutatedFilesNeverCrash) {
  std::ostringstream content;
  content << std::ifstream(test::data_path("textenc/tokenizer/tokenizer.json"), std::ios::binary).rdbuf();
  const std::string small_text = small().dump(), large_text = content.str();
  std::mt19937 random(5);
  const test::TemporaryFolder folder;
  int refused = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string text = i % 30 == 0 ? large_text : small_text;
    for (int k = static_cast<int>(random() % 3); k >= 0; --k) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0: text[at] = static_cast<char>(random()); break;
        case 1: text.erase(at, 1 + random() % 9); break;
        case 2: text.insert(at, 1, "\"\\{}[],:0"[random() % 9]); break;
        default: text.resize(at); break;
      }
      if (text.empty()) text.assign(1, 'x');
    }
    folder.write("tokenizer.json", text);
    try {
      load_tokenizer(folder.path())->encode("abba ab <bos> \u2581 <table>é");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kModel) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace linea
