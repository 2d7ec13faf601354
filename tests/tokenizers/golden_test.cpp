// 10 000 strings against the reference libraries. Data: tests/golden/make_textenc_tokenizer.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <filesystem>

#include "tests/support/packed.h"
#include "tokenizers/hf_tokenizer.h"
#include "tokenizers/sentencepiece_tokenizer.h"

namespace linea {
namespace {

using test::data_path;
using test::Golden;
using testing::ElementsAre;

const Golden& golden() {
  static const Golden kGolden("textenc/tokenizer.safetensors");
  return kGolden;
}

std::unique_ptr<Tokenizer> json_tokenizer() { return load_tokenizer(data_path("textenc/tokenizer")); }

std::unique_ptr<Tokenizer> model_tokenizer() {
  return load_sentencepiece(data_path("textenc/tokenizer/tokenizer.model"), read_tokenizer_config(data_path("textenc/tokenizer")));
}

TEST(TokenizerGolden, JsonGivesTheIdsOfTheReference) {
  const auto tokenizer = json_tokenizer();
  const auto strings = test::packed_strings(golden(), "strings");
  const auto ids = test::packed_ids(golden(), "hf");
  ASSERT_EQ(strings.size(), 10'000u);
  int differing = 0;
  for (size_t i = 0; i < strings.size() && differing < 5; ++i) {
    const auto found = tokenizer->encode(strings[i]);
    EXPECT_EQ(found, ids[i]) << "string " << i << ": " << testing::PrintToString(strings[i]);
    differing += found != ids[i];
  }
}

TEST(TokenizerGolden, SentencePieceGivesTheIdsOfTheReference) {
  const auto tokenizer = model_tokenizer();
  const auto strings = test::packed_strings(golden(), "strings");
  auto ids = test::packed_ids(golden(), "hf");
  for (auto& row : ids) row.erase(row.begin());  // bos
  const auto other = test::packed_ids(golden(), "spm");
  const Tensor rows = golden()["spm.rows"];
  for (size_t i = 0; i < other.size(); ++i) ids[static_cast<size_t>(rows.data<int32_t>()[i])] = other[i];
  int differing = 0;
  for (size_t i = 0; i < strings.size() && differing < 5; ++i) {
    const auto found = tokenizer->encode_without_template(strings[i]);
    EXPECT_EQ(found, ids[i]) << "string " << i << ": " << testing::PrintToString(strings[i]);
    differing += found != ids[i];
  }
}

TEST(TokenizerGolden, DecodingGivesTheTextOfTheReference) {
  const auto tokenizer = json_tokenizer();
  auto expected = test::packed_strings(golden(), "strings");
  const auto changed = test::packed_strings(golden(), "decoded");
  const Tensor rows = golden()["decoded.rows"];
  for (size_t i = 0; i < changed.size(); ++i) expected[static_cast<size_t>(rows.data<int32_t>()[i])] = changed[i];
  const auto ids = test::packed_ids(golden(), "hf");
  int differing = 0;
  for (size_t i = 0; i < ids.size() && differing < 5; ++i) {
    const auto found = tokenizer->decode(ids[i]);
    EXPECT_EQ(found, expected[i]) << "string " << i;
    differing += found != expected[i];
  }
}

TEST(TokenizerGolden, BothRoadsAgreeOnSpecialTokensAndSizes) {
  for (const auto& tokenizer : {json_tokenizer(), model_tokenizer()}) {
    EXPECT_EQ(tokenizer->vocabulary_size(), 4096);
    EXPECT_EQ(tokenizer->special().pad, 0);
    EXPECT_EQ(tokenizer->special().eos, 1);
    EXPECT_EQ(tokenizer->special().bos, 2);
    EXPECT_EQ(tokenizer->special().unk, 3);
    EXPECT_EQ(tokenizer->id_of("<bos>"), 2);
    EXPECT_EQ(tokenizer->id_of("no such piece"), -1);
    EXPECT_THAT(tokenizer->encode(""), ElementsAre(2));
    EXPECT_EQ(tokenizer->decode(tokenizer->encode("a red  apple\n\n<b> é😀")), "a red  apple\n\n<b> é😀");
    EXPECT_EQ(tokenizer->decode(tokenizer->encode("x"), /*skip_special=*/false), "<bos>x");
    EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{-1, 1'000'000}), "");
  }
}

TEST(TokenizerGolden, InvalidUtf8IsReadAsReplacementCharacters) {
  for (const auto& tokenizer : {json_tokenizer(), model_tokenizer()}) {
    EXPECT_EQ(tokenizer->encode("a\xff b"), tokenizer->encode("a\uFFFD b"));
    EXPECT_EQ(tokenizer->encode("\xe2\x96"), tokenizer->encode("\uFFFD"));
    EXPECT_EQ(tokenizer->encode("\xed\xa0\x80"), tokenizer->encode("\uFFFD\uFFFD\uFFFD"));
  }
}

TEST(TokenizerGolden, TruncationKeepsTheTemplate) {
  const auto tokenizer = json_tokenizer();
  const auto whole = tokenizer->encode("one two three four five six");
  size_t cut = 99;
  EXPECT_EQ(tokenizer->encode("one two three four five six", whole.size(), cut), whole);
  EXPECT_EQ(cut, 0u);
  const auto part = tokenizer->encode("one two three four five six", 4, cut);
  EXPECT_EQ(part, std::vector<int32_t>(whole.begin(), whole.begin() + 4));
  EXPECT_EQ(cut, whole.size() - 4);
}

TEST(TokenizerGolden, LongTextsTakeNoQuadraticTime) {
  std::string words, letters(100'000, 'a'), blanks(100'000, ' '), emoji;
  while (words.size() < 100'000) words += "a small red house beside the river, ";
  while (emoji.size() < 400'000) emoji += "😀";
  for (const auto& tokenizer : {json_tokenizer(), model_tokenizer()}) {
    for (const std::string& text : {words, letters, blanks, emoji}) {
      const std::clock_t begin = std::clock();  // of the processor: other programs do not count
      const auto ids = tokenizer->encode(text);
      EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 1.0);
      EXPECT_EQ(tokenizer->decode(ids), text);
    }
  }
}

}  // namespace
}  // namespace linea
